"""When a method acts: every N gradient updates, at given points of progress, or never."""

from dataclasses import dataclass
from typing import Protocol

from .aliases import renamed
from .record_fields import entry


@renamed(environment_steps="progress")
@dataclass(frozen=True)
class Position:
    """How far a run is: gradient updates, and progress in the unit that the run counts, such as environment steps."""

    updates: int
    progress: int

    def to_json(self) -> dict[str, int]:
        """Return the position as JSON. For compatibility, progress is always stored as "environment_steps"."""
        return {"updates": self.updates, "environment_steps": self.progress}

    @classmethod
    def from_json(cls, saved: object) -> "Position":
        """Read a position made by `to_json`; raise ValueError for anything else."""
        return cls(entry(saved, "updates", int), entry(saved, "environment_steps", int))


class Schedule(Protocol):
    """Any object with these two functions. A schedule keeps no state and knows no unit of progress."""

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether an event is due after `before` and up to `after`."""

    def next_update(self, position: Position) -> int | None:
        """Return the update after which the next event is due, so that a block of updates stops there; None if none."""
        return None


@dataclass(frozen=True)
class Every:
    """After every N gradient updates, counted from update `since`; at `since` itself there is no event."""

    updates: int
    since: int = 0

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"every {self.updates} updates given; allowed is 1 or more")
        if self.since < 0:
            raise ValueError(f"since={self.since} updates given; allowed is 0 or more")

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether a multiple of the period lies after `before`, up to and including `after`."""
        return self._events(after) > self._events(before)

    def next_update(self, position: Position) -> int | None:
        """Return the update of the next event."""
        return self.since + (self._events(position) + 1) * self.updates

    def _events(self, position: Position) -> int:
        """Return the number of events up to a position."""
        return max(0, position.updates - self.since) // self.updates


@renamed(environment_steps="points")
@dataclass(frozen=True)
class At(Schedule):
    """When the run's progress reaches each of these points."""

    points: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.points or min(self.points) < 1:
            raise ValueError(f"at {self.points} given; allowed is one point or more, each 1 or more")

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether one of the points lies after `before`, up to and including `after`."""
        return any(before.progress < point <= after.progress for point in self.points)


class AtUpdates(At):
    """Like `At` for a training loop of one's own that counts progress in updates and makes them in blocks.

    It makes the blocks end at the points, which may fall inside a block otherwise. Runs of this project use `At`.
    """

    def next_update(self, position: Position) -> int | None:
        """Return the update of the next event; None after the last one."""
        later = [point - position.progress for point in self.points if point > position.progress]
        return position.updates + min(later) if later else None


@dataclass(frozen=True)
class Never(Schedule):
    """Never."""

    def crossed(self, before: Position, after: Position) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class Either:
    """Whenever one of several schedules has an event."""

    schedules: tuple[Schedule, ...]

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether an event of one of the schedules has become due."""
        return any(schedule.crossed(before, after) for schedule in self.schedules)

    def next_update(self, position: Position) -> int | None:
        """Return the first update at which one of the schedules has an event; None if there is none."""
        updates = [schedule.next_update(position) for schedule in self.schedules]
        return min((update for update in updates if update is not None), default=None)
