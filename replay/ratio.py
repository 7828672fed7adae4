"""Gradient updates owed for transitions stored: the replay ratio without drift."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

RATIO = re.compile(r"\d{1,20}(/[1-9]\d{0,19})?")  # as text; a file may have a number of endless digits
LARGEST = 2**53


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
        check_counts(state)
        transitions, updates = state["transitions"], state["updates"]
        if Fraction(state["ratio"]) != self.ratio:
            return
        if updates != int(self.ratio * transitions):
            raise ValueError(f"{updates} updates for {transitions} transitions are not those of the ratio {self.ratio}")
        self.transitions, self.updates = transitions, updates


def check_counts(state: Mapping[str, Any]) -> None:
    """Raise ValueError, or TypeError, where a saved ratio and its counts are not what is saved here."""
    ratio, transitions, updates = state["ratio"], state["transitions"], state["updates"]
    if not RATIO.fullmatch(ratio) or not 0 <= updates <= LARGEST or not 0 <= transitions <= LARGEST:
        raise ValueError(f"{updates!s:.40} updates for {transitions!s:.40} transitions, at the ratio {ratio:.40}")
