"""When a method acts: every N gradient updates, at given points of progress, never."""

from dataclasses import dataclass
from typing import Protocol

from .aliases import AtAliases, PositionAliases
from .entries import entry


@dataclass(frozen=True, init=False)  # the base, which also knows the old word, makes it
class Position(PositionAliases):
    """How far a run is: gradient updates, and progress in the unit that the run counts, such as environment steps."""

    updates: int
    progress: int

    def to_json(self) -> dict[str, int]:
        """As every run so far has stored it: progress under the name of its first unit."""
        return {"updates": self.updates, "environment_steps": self.progress}

    @classmethod
    def from_json(cls, saved: object) -> "Position":
        """What `to_json` has made; ValueError where it is anything else."""
        return cls(entry(saved, "updates", int), entry(saved, "environment_steps", int))


class Schedule(Protocol):
    """Anything that can say these two things. A schedule keeps no state and knows no unit."""

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether an event is due that was not due at `before`."""

    def next_update(self, position: Position) -> int | None:
        """The next update that an event follows, so that a block of updates can stop there; None: there is none."""
        return None


@dataclass(frozen=True)
class Every:
    """After every so many gradient updates, counted from `since`, where there is no event."""

    updates: int
    since: int = 0

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"every {self.updates} updates: must be at least 1")
        if self.since < 0:
            raise ValueError(f"counted from update {self.since}: must be 0 or more")

    def crossed(self, before: Position, after: Position) -> bool:
        return self._events(after) > self._events(before)

    def next_update(self, position: Position) -> int | None:
        return self.since + (self._events(position) + 1) * self.updates

    def _events(self, position: Position) -> int:
        """How many there are up to a position."""
        return max(0, position.updates - self.since) // self.updates


@dataclass(frozen=True, init=False)  # the base, which also knows the old word, makes it
class At(AtAliases, Schedule):
    """When the run's progress reaches each of these points."""

    points: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.points or min(self.points) < 1:
            raise ValueError(f"at {self.points}: give at least one point, and each at least 1")

    def crossed(self, before: Position, after: Position) -> bool:
        return any(before.progress < point <= after.progress for point in self.points)


class AtUpdates(At):
    """The same in a run whose progress is its updates, where a point may fall inside a block of them."""

    def next_update(self, position: Position) -> int | None:
        later = [point - position.progress for point in self.points if point > position.progress]
        return position.updates + min(later) if later else None


@dataclass(frozen=True)
class Never(Schedule):
    """Never."""

    def crossed(self, before: Position, after: Position) -> bool:
        return False


@dataclass(frozen=True)
class Either:
    """Whenever one of several schedules says so."""

    schedules: tuple[Schedule, ...]

    def crossed(self, before: Position, after: Position) -> bool:
        return any(schedule.crossed(before, after) for schedule in self.schedules)

    def next_update(self, position: Position) -> int | None:
        updates = [schedule.next_update(position) for schedule in self.schedules]
        return min((update for update in updates if update is not None), default=None)
