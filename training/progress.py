"""The progress of a run's driver, which every checkpoint stores."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from fire_rl.fire import Position

Count = Annotated[int, Meta(ge=0, le=2**53)]


@dataclass
class Progress:
    """Counts, and the position of the last boundary at which everything due was done."""

    updates: Count = 0
    handled_updates: Count = 0
    handled_steps: Annotated[int, Meta(ge=-1, le=2**53)] = -1  # -1: not even the boundary at the start
    measured: Count = 0  # updates at the last measurement
    summed_updates: Count = 0  # updates whose metrics are summed for the next line of training metrics
    seconds: float = 0.0  # running time so far, without interruptions
    last_evaluation: float | None = None
    owes: str | None = None  # the occasion of an evaluation that was interrupted by a stop
    looked_before: bool = False  # whether an evaluation was made just before an event since the last boundary

    @property
    def handled(self) -> Position:
        """The last boundary at which everything due was done."""
        return Position(self.handled_updates, self.handled_steps)

    def handle(self, position: Position) -> None:
        """Record that everything due at this boundary was done."""
        self.handled_updates, self.handled_steps = position.updates, position.progress
        self.looked_before = False
