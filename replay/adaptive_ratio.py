"""Adaptive replay ratio: low until the critic's fraction of active units has stopped changing, then high for good.

Source: "Revisiting Plasticity in Visual Reinforcement Learning: Data, Modules and Training Stages", Ma et al., ICLR
2024, arXiv 2310.07418. Its code averages, over every fiftieth episode, the share of positive outputs among all ReLUs of
both critics on the training batches, and goes from 0.5 to 2 once two such averages in a row differ by at most 0.001;
the first of all is compared with the first update's. Fifty episodes are 25,000 decisions, or 12,500 updates at 0.5.
"""

import math
from collections.abc import Mapping
from typing import Any

from .ratio import ReplayRatio, check_counts

LOW, HIGH = 0.5, 2.0
UPDATES_PER_CHECK = 12_500


class AdaptiveRatio:
    """Hands out updates as `ReplayRatio` does, first at `low` and, once the activity has settled, at `high`.

    `observe` is told the fraction of active units after so many updates each time. Of every `check_every` observations
    the last `window` are averaged. As many as the published 12,500 updates are 12 observations 1,000 updates apart; all
    of them are averaged, because one is of 256 examples and the published average of 250 batches of 256.
    """

    def __init__(
        self,
        low: float = LOW,
        high: float = HIGH,
        tolerance: float = 0.001,
        check_every: int = 12,
        window: int = 12,
    ) -> None:
        if not low < high:
            raise ValueError(
                f"replay ratios low={low:g} and high={high:g} given; allowed is a lower one before a higher"
            )
        if not tolerance >= 0:
            raise ValueError(f"tolerance={tolerance} given; allowed is 0 or a number above")
        if not 1 <= window <= check_every:
            raise ValueError(f"window={window} given; allowed is 1 to check_every={check_every}")
        self.tolerance, self.check_every, self.window = tolerance, check_every, window
        self._low, self._high = ReplayRatio(low), ReplayRatio(high)
        self._rule = f"{self._low.ratio}, {self._high.ratio}, {tolerance}, {check_every}, {window}"
        self.raised = False
        self.observations = 0
        self._sum = 0.0  # of the window so far
        self._last: float | None = None  # what the next average is compared with

    @property
    def ratio(self) -> float:
        """The one in force."""
        return float(self._count.ratio)

    @property
    def _count(self) -> ReplayRatio:
        """Each ratio counts its own transitions: what was decided at the low one is not owed at the high one."""
        return self._high if self.raised else self._low

    def owed(self, transitions: int) -> int:
        """How many updates to do now, for this many further transitions."""
        return self._count.owed(transitions)

    def observe(self, active_fraction: float) -> bool:
        """Take note of a measurement; whether the ratio was raised by it. What is not a number is no measurement."""
        if self.raised or not math.isfinite(active_fraction):
            return False
        if self._last is None:
            self._last = active_fraction
        place = self.observations % self.check_every
        self.observations += 1
        if place >= self.check_every - self.window:
            self._sum += active_fraction
        if place < self.check_every - 1:
            return False
        average, self._sum = self._sum / self.window, 0.0
        self.raised = abs(average - self._last) <= self.tolerance
        self._last = average
        return self.raised

    def state_dict(self) -> dict[str, Any]:
        """Strict JSON. `ReplayRatio` can load it too, when a run goes on at a fixed ratio."""
        watched = {
            "rule": self._rule,
            "raised": self.raised,
            "observations": self.observations,
            "sum": self._sum,
            "last": self._last,
        }
        return {**self._count.state_dict(), "adaptive": watched}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue; after a fixed ratio it starts here, low, and nothing old falls due. What was raised stays raised,
        and after another rule averages begin anew."""
        check_counts(state)
        watched = state.get("adaptive")
        if watched is None:
            return
        if not isinstance(watched["raised"], bool):
            raise ValueError(f"{watched['raised']!r:.40} does not say whether the ratio was raised")
        self.raised = watched["raised"]
        if watched["rule"] == self._rule:
            self.observations, self._sum = int(watched["observations"]), float(watched["sum"])
            self._last = None if watched["last"] is None else float(watched["last"])
        self._count.load_state_dict(state)
