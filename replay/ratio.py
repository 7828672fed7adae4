"""The replay ratio: how many gradient updates are owed for the stored transitions, without rounding errors."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

# Bounded, because a forged file may hold a number of any length; the fraction of a float has up to 325 digits.
RATIO = re.compile(r"\d{1,325}(/[1-9]\d{0,324})?")
LARGEST = 2**53


class ReplayRatio:
    """Gives floor(ratio x transitions) updates in total, however the calls are divided; exact for any decimal ratio.

    Count only transitions of decisions made after learning began: no updates are owed for the warm-up.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 < ratio < float("inf"):
            raise ValueError(f"replay ratio {ratio:g} given; allowed is a number above 0, such as 0.25, 1 or 2")
        self.ratio = Fraction(str(ratio))
        self.transitions = 0
        self.updates = 0

    def owed(self, transitions: int) -> int:
        """Return how many updates to do now, after this many further transitions."""
        self.transitions += transitions
        due = int(self.ratio * self.transitions) - self.updates
        self.updates += due
        return due

    def state_dict(self) -> dict[str, int | str]:
        """Return the state as strict JSON."""
        return {"ratio": str(self.ratio), "transitions": self.transitions, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the count. If the ratio has changed, counting starts here: no updates are due for the past."""
        check_counts(state)
        transitions, updates = state["transitions"], state["updates"]
        if Fraction(state["ratio"]) != self.ratio:
            return
        if updates != int(self.ratio * transitions):
            raise ValueError(f"{updates} updates for {transitions} transitions are not those of the ratio {self.ratio}")
        self.transitions, self.updates = transitions, updates


def check_counts(state: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError if a saved ratio and its counts cannot have been saved by this module."""
    ratio, transitions, updates = state["ratio"], state["transitions"], state["updates"]
    if not RATIO.fullmatch(ratio) or not 0 <= updates <= LARGEST or not 0 <= transitions <= LARGEST:
        raise ValueError(f"{updates!s:.40} updates for {transitions!s:.40} transitions, at the ratio {ratio:.40}")
