"""The scores of a diagnosis: what a network learned beside fresh ones, with intervals, and what counts as a loss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LOSS = 0.9  # a score below this with an interval below 1 counts as lost
LEAST = 0.05  # the share that fresh networks must learn, or a score has no meaning
# Quantile 0.975 of Student's t by degrees of freedom, 1 to 10.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}


@dataclass(frozen=True)
class Score:
    """What a network learned / what fresh networks learned, with a 95% prediction interval for one network."""

    value: float
    low: float
    high: float
    rate: float  # the learning rate of this network
    fresh_rate: float

    @property
    def lost(self) -> bool:
        """Whether the score counts as a loss of plasticity."""
        return self.high < 1.0 and self.value < LOSS

    @property
    def unsettled(self) -> bool:
        """Whether the score is as low as a loss, but with an interval that does not exclude 1."""
        return self.high >= 1.0 and self.value < LOSS

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @classmethod
    def of(cls, shares: Sequence[float], fresh: Sequence[float], rate: float, fresh_rate: float) -> "Score":
        """Return the score of the learned shares by probe seed, as the mean of their ratios to the fresh shares.

        Each seed has its own function and its own fresh network, so the spread of the ratios includes the random
        variation of networks and of probes. The interval is a prediction interval for the mean ratio of one more fresh
        network. It is too wide rather than too narrow.
        """
        count = len(shares)
        scores = [share / max(usual, LEAST / 2) for share, usual in zip(shares, fresh, strict=True)]
        value = mean_of(scores)
        variance = sum((score - value) ** 2 for score in scores) / (count - 1)
        half = student(count - 1) * math.sqrt(variance * (1.0 + 1.0 / count))
        return cls(value, value - half, value + half, rate, fresh_rate)


@dataclass(frozen=True)
class Reading:
    """One probe of one network: its score at the best learning rates, and at the training's own learning rate."""

    name: str
    best: Score
    own: Score | None
    errors: tuple[float, ...]  # held-out errors at the points of the curve, means over seeds; at the best rate
    fresh_errors: tuple[float, ...]
    shares: Mapping[float, float]  # learned shares of the first seed, by learning rate
    fresh_shares: Mapping[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return the reading for JSON, where learning rates as keys are text."""
        shares, fresh = (
            {f"{rate:g}": share for rate, share in each.items()} for each in (self.shares, self.fresh_shares)
        )
        return {**asdict(self), "shares": shares, "fresh_shares": fresh}

    @property
    def lost(self) -> bool:
        """Whether the score at the best rate counts as lost."""
        return self.best.lost

    @property
    def lost_at_own(self) -> bool:
        """Whether the score at the training's own rate counts as lost."""
        return self.own is not None and self.own.lost


def student(freedom: int) -> float:
    """Return the quantile 0.975 of Student's t; above 10 degrees of freedom by its expansion in 1 / n.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.5; the error is below 0.001.
    """
    if freedom in STUDENT:
        return STUDENT[freedom]
    z, n = 1.959964, 4.0 * freedom
    second, third = 5 * z**5 + 16 * z**3 + 3 * z, 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + (z**3 + z) / n + second / (6 * n**2) + third / (6 * n**3)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of the values."""
    return sum(values) / len(values)
