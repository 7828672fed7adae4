"""Where a run is: the counts that every log line holds and every checkpoint keeps."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from fire import Position

BEFORE_START = Position(updates=0, environment_steps=-1)

Count = Annotated[int, Meta(ge=0, le=2**53)]


@dataclass
class Progress:
    """Counts, the open episodes, and the last boundary that was gone through."""

    decisions: Count = 0
    updates: Count = 0
    episodes: Count = 0
    environment_steps: Count = 0
    handled: Position = BEFORE_START
    measured: Count = 0  # updates at the last measurement
    seconds: float = 0.0  # spent so far, interruptions left out
    returns: list[float] = field(default_factory=list)  # of the open episodes
    lengths: list[Count] = field(default_factory=list)  # of the open episodes, in environment steps
    last_evaluation: float | None = None
    owes: str | None = None  # the occasion of an evaluation that a stop broke off

    @property
    def position(self) -> Position:
        return Position(updates=self.updates, environment_steps=self.environment_steps)

    def counts(self) -> dict[str, int]:
        names = ("decisions", "environment_steps", "updates", "episodes")
        return {name: getattr(self, name) for name in names}

    def passed(self, every: int) -> bool:
        """Whether a multiple of `every` environment steps lies between the last boundary and now."""
        return self.handled.environment_steps // every < self.environment_steps // every
