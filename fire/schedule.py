"""When a method acts: every N gradient updates, at given environment steps, never. A schedule keeps no state."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Position:
    """How far a run is."""

    updates: int
    environment_steps: int


class Schedule(Protocol):
    """Anything that can say these two things."""

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether an event is due that was not due at `before`."""

    def next_update(self, position: Position) -> int | None:
        """The next update that an event follows, so that a block of updates can stop there; None: no update does."""


@dataclass(frozen=True)
class Every:
    """After every so many gradient updates."""

    updates: int

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"every {self.updates} updates: must be at least 1")

    def crossed(self, before: Position, after: Position) -> bool:
        return after.updates // self.updates > before.updates // self.updates

    def next_update(self, position: Position) -> int | None:
        return (position.updates // self.updates + 1) * self.updates


@dataclass(frozen=True)
class At:
    """When the run reaches each of these environment steps."""

    environment_steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.environment_steps or min(self.environment_steps) < 1:
            raise ValueError(f"at environment steps {self.environment_steps}: at least one, and each at least 1")

    def crossed(self, before: Position, after: Position) -> bool:
        return any(before.environment_steps < step <= after.environment_steps for step in self.environment_steps)

    def next_update(self, position: Position) -> int | None:
        return None


@dataclass(frozen=True)
class Never:
    """Never."""

    def crossed(self, before: Position, after: Position) -> bool:
        return False

    def next_update(self, position: Position) -> int | None:
        return None


@dataclass(frozen=True)
class Either:
    """Whenever one of several schedules says so."""

    schedules: tuple[Schedule, ...]

    def crossed(self, before: Position, after: Position) -> bool:
        return any(schedule.crossed(before, after) for schedule in self.schedules)

    def next_update(self, position: Position) -> int | None:
        updates = [schedule.next_update(position) for schedule in self.schedules]
        return min((update for update in updates if update is not None), default=None)
