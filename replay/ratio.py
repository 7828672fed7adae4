"""Gradient updates owed for transitions stored: the replay ratio without drift."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any


class ReplayRatio:
    """Hands out floor(ratio x transitions) updates in all, whatever the block sizes; exact for any decimal ratio.

    Count only transitions decided on after learning began: the warm-up owes nothing.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 < ratio < float("inf"):
            raise ValueError(f"replay ratio {ratio:g} given; allowed is a number above 0, such as 0.25, 1 or 2")
        self.ratio = Fraction(str(ratio))
        self.transitions = 0
        self.updates = 0

    def owed(self, transitions: int) -> int:
        """How many updates to do now, for this many further transitions."""
        self.transitions += transitions
        due = int(self.ratio * self.transitions) - self.updates
        self.updates += due
        return due

    def state_dict(self) -> dict[str, int | str]:
        return {"ratio": str(self.ratio), "transitions": self.transitions, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the count; another ratio counts from here, so that no debt of the old one falls due."""
        if state["ratio"] != str(self.ratio):  # as text: what is in a file may be a number of endless digits
            return
        transitions, updates = int(state["transitions"]), int(state["updates"])
        if updates != int(self.ratio * transitions):
            raise ValueError(f"{updates} updates for {transitions} transitions are not those of the ratio {self.ratio}")
        self.transitions, self.updates = transitions, updates
