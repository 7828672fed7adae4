"""Adaptive replay ratio: low until the critic's fraction of active units has stopped changing, then high until the end.

Source: "Revisiting Plasticity in Visual Reinforcement Learning: Data, Modules and Training Stages", Ma et al., ICLR
2024, arXiv 2310.07418. Its code averages, over every fiftieth episode, the share of positive outputs among all ReLUs of
both critics on the training batches. It raises the ratio from 0.5 to 2 once two consecutive averages differ by at most
0.001; the first average is compared with the value at the first update. Fifty episodes are 25,000 decisions, which are
12,500 updates at the ratio 0.5.
"""

import math
from collections.abc import Mapping
from typing import Any

from .ratio import ReplayRatio, check_counts

LOW, HIGH = 0.5, 2.0
UPDATES_PER_CHECK = 12_500


class AdaptiveRatio:
    """Counts the updates owed as `ReplayRatio` does: first at `low`, and at `high` once the activity is stable.

    `observe` receives the fraction of active units at regular intervals, counted in updates. Of every `check_every`
    observations the last `window` are averaged, and the average is compared with the one before. With an observation
    every 1,000 updates, the default of 12 observations corresponds to the published 12,500 updates. All 12 are averaged
    because one observation covers 256 examples only, while the published average covers 250 batches of 256.
    """

    def __init__(
        self, low: float = LOW, high: float = HIGH, tolerance: float = 0.001, check_every: int = 12, window: int = 12
    ) -> None:
        if not low < high:
            raise ValueError(
                f"replay ratios low={low:g} and high={high:g} given; allowed is a low ratio below the high one"
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
        self._sum = 0.0  # of the observations in the present window
        self._last: float | None = None  # the value with which the next average is compared

    @property
    def ratio(self) -> float:
        """The replay ratio at present."""
        return float(self._count.ratio)

    @property
    def _count(self) -> ReplayRatio:
        """The counter of the present ratio. Each ratio counts its own transitions, so that raising the ratio makes no
        updates due for transitions that were stored before."""
        return self._high if self.raised else self._low

    def owed(self, transitions: int) -> int:
        """Return how many updates to do now, after this many further transitions."""
        return self._count.owed(transitions)

    def observe(self, active_fraction: float) -> bool:
        """Record a measurement, and return whether it raised the ratio. NaN and infinity are ignored."""
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
        """Return the state as strict JSON. `ReplayRatio` can load it too, when a run continues at a fixed ratio."""
        watched = {
            "rule": self._rule,
            "raised": self.raised,
            "observations": self.observations,
            "sum": self._sum,
            "last": self._last,
        }
        return {**self._count.state_dict(), "adaptive": watched}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state.

        A state of a fixed ratio (`ReplayRatio`) is not continued: counting starts here, at the low ratio, and no update
        is due for earlier transitions. A ratio that was raised stays raised. If the rule (ratios, tolerance,
        check_every, window) has changed, averaging starts again."""
        check_counts(state)
        watched = state.get("adaptive")
        if watched is None:
            return
        if not isinstance(watched["raised"], bool):
            raise ValueError(f"raised is {watched['raised']!r:.40}; allowed are true and false")
        self.raised = watched["raised"]
        if watched["rule"] == self._rule:
            self.observations, self._sum = int(watched["observations"]), float(watched["sum"])
            self._last = None if watched["last"] is None else float(watched["last"])
        self._count.load_state_dict(state)
