"""Where the driver of a run is, as every checkpoint keeps it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from fire_rl.fire import Position

Count = Annotated[int, Meta(ge=0, le=2**53)]


@dataclass
class Progress:
    """Counts, and the last boundary that was gone through."""

    updates: Count = 0
    handled_updates: Count = 0
    handled_steps: Annotated[int, Meta(ge=-1, le=2**53)] = -1  # -1: not even the one at the start
    measured: Count = 0  # updates at the last measurement
    summed_updates: Count = 0  # whose metrics are summed up for the next line of training metrics
    seconds: float = 0.0  # spent so far, interruptions left out
    last_evaluation: float | None = None
    owes: str | None = None  # the occasion of an evaluation that a stop broke off

    @property
    def handled(self) -> Position:
        return Position(self.handled_updates, self.handled_steps)

    def handle(self, position: Position) -> None:
        self.handled_updates, self.handled_steps = position.updates, position.progress
