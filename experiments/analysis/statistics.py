"""Aggregates of runs and how far they can be trusted, as pure functions over arrays (Agarwal et al., 2021).

A method's scores are *strata*: one array for each environment, its runs along the last axis, and anything else (points
of a curve, levels of a profile) along the ones before. Resampling draws runs within each environment; environments may
have different numbers of them. Two methods whose runs are branches of the same trunks are resampled with the same
draws. Percentile intervals are too narrow for few runs: see COVERAGE.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Strata: TypeAlias = Sequence[Array]
Statistic: TypeAlias = Callable[[Strata], Array]  # the last axis of each stratum becomes one number
Draws: TypeAlias = Sequence[NDArray[np.int64]]  # for each environment: resamples x runs, as indices

Sides: TypeAlias = tuple[tuple[int, ...], ...]

ENOUGH_RUNS = 10  # for a percentile interval to hold the truth about as often as it says
COVERAGE = {  # runs: how often nominal 95% of the mean, and of the IQM, hold the truth
    2: (0.50, 0.50), 3: (0.75, 0.75), 4: (0.81, 0.88), 5: (0.84, 0.90), 6: (0.86, 0.91), 7: (0.87, 0.91),
    8: (0.88, 0.93), 9: (0.89, 0.93), 10: (0.90, 0.94), 20: (0.92, 0.94),
}  # fmt: skip
"""Measured with this module: 20,000 experiments of so many independent normal scores, 1,000 resamples each."""
SETTLING_RUNS = 5  # with fewer in some environment, an interval that leaves out 0 settles nothing
AT_ONCE = 4_000_000  # numbers resampled at a time


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What an interval and a band have in common: of how many runs they are, and how their bounds were made."""

    sides: Sides  # runs in each environment, of one method or of two
    method: str  # how the bounds were made, in words

    @property
    def n(self) -> int:
        """Runs; of two methods, the fewer."""
        return min(sum(side) for side in self.sides)

    @property
    def smallest(self) -> int:
        """Fewest runs that either method has in an environment: what the interval's worth is judged by."""
        return min(min(side) for side in self.sides)

    def runs_said(self, what: str = "run") -> str:
        """How many runs it is of, such as "5 runs", "5 and 1 runs", "2 environments × 5 runs"."""
        return runs_in_words(self.sides, what)


@dataclass(frozen=True)
class Interval(_Made):
    """A number and how far it can be trusted."""

    value: float
    low: float  # NaN where there is no interval; may be inf where value may
    high: float

    @property
    def bounded(self) -> bool:
        """Whether there is an interval at all: not where an environment has a single run."""
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True, eq=False)
class Band(_Made):
    """An interval at each point of an axis."""

    value: Array
    low: Array  # NaN where there is no interval
    high: Array

    @property
    def bounded(self) -> bool:
        return not bool(np.isnan(self.low).any() or np.isnan(self.high).any())


def runs_in_words(sides: Sides, what: str = "run") -> str:
    """Numbers of runs in words, both methods' where they differ."""
    environments = len(sides[0])
    each = [f"{min(side)} to {max(side)}" if min(side) < max(side) else str(side[0]) for side in sides]
    numbers = " and ".join(dict.fromkeys(each))
    words = f"{numbers} {what}" if numbers == "1" else f"{numbers} {what}s"
    return f"{environments} environments × {words}" if environments > 1 else words


# Aggregates


def interquartile_mean(strata: Strata) -> Array:
    """Mean of the middle half of all runs: a quarter of them, rounded down, is left out at either end."""
    runs = np.sort(np.concatenate(strata, axis=-1), axis=-1)
    cut = runs.shape[-1] // 4
    return runs[..., cut : runs.shape[-1] - cut].mean(axis=-1)


def mean(strata: Strata) -> Array:
    """Mean of the environments' means, so that each has the same weight however many runs it has."""
    return np.mean([runs.mean(axis=-1) for runs in strata], axis=0)


def median(strata: Strata) -> Array:
    """Median of all runs."""
    return np.median(np.concatenate(strata, axis=-1), axis=-1)


def median_of_means(strata: Strata) -> Array:
    """Median of the environments' means: what is called the median score of a benchmark."""
    return np.median([runs.mean(axis=-1) for runs in strata], axis=0)


# Resampling


def draw_runs(sizes: Sequence[int], resamples: int, seed: Sequence[int]) -> Draws:
    """Which runs each resample takes of each environment; the same for the same seed."""
    generator = np.random.default_rng(list(seed))
    return [generator.integers(size, size=(resamples, size)) for size in sizes]


def estimate(strata: Strata, statistic: Statistic, draws: Draws, confidence: float = 0.95) -> Interval:
    """A statistic of runs with its percentile bootstrap interval."""
    band = estimate_band([runs[None] for runs in strata], statistic, draws, confidence)
    value, low, high = (float(each[0]) for each in (band.value, band.low, band.high))
    return Interval(value, low, high, sides=band.sides, method=band.method)


def estimate_band(strata: Strata, statistic: Statistic, draws: Draws, confidence: float = 0.95) -> Band:
    """The same at each point of the first axis."""
    sizes = tuple(runs.shape[-1] for runs in strata)
    value = statistic(strata)
    if min(sizes) < 2:
        nothing = np.full(value.shape, np.nan)
        return Band(value, nothing, nothing, sides=(sizes,), method=SINGLE)
    points = max(1, AT_ONCE // (len(draws[0]) * sum(sizes)))
    bounds = [
        _bounds(statistic([runs[first : first + points, taken] for runs, taken in _pairs(strata, draws)]), confidence)
        for first in range(0, len(value), points)
    ]
    low, high = np.concatenate(bounds, axis=1)
    return Band(value, low, high, sides=(sizes,), method=in_words(confidence, len(draws[0]), len(strata)))


SINGLE = "a single run in an environment: no interval"


def in_words(confidence: float, resamples: int, environments: int, paired: bool = False) -> str:
    """How an interval was made."""
    what = "trunks, jointly for both methods" if paired else "runs"
    where = " within each environment" if environments > 1 else ""
    return f"{100 * confidence:g}% percentile bootstrap, {resamples:,} resamples of {what}{where}"


def _bounds(samples: Array, confidence: float) -> Array:
    """Low and high, over the last axis."""
    tail = (1 - confidence) / 2
    return np.quantile(samples, (tail, 1 - tail), axis=-1)


def _pairs(strata: Strata, draws: Draws) -> list[tuple[Array, NDArray[np.int64]]]:
    return list(zip(strata, draws, strict=True))


# Two methods


def difference(
    left: Strata, right: Strata, statistic: Statistic, draws: tuple[Draws, Draws], confidence: float = 0.95
) -> Interval:
    """Left's statistic minus right's. With the same draws for both, runs are paired by their places."""
    return _contrast(left, right, draws, confidence, lambda one, other: statistic(one) - statistic(other))


def improvement(left: Strata, right: Strata, draws: tuple[Draws, Draws], confidence: float = 0.95) -> Interval:
    """The probability that a run of left's scores higher than one of right's; ties count half.

    Mann and Whitney's U over the number of pairs, averaged over environments. With the same draws for both, runs are
    paired by their places. Drawing a trunk twice would then count a run against its own trunk's other one twice as
    often as against the rest; those pairs keep the weight that they have without resampling, 1 / n.
    """
    if draws[0] is not draws[1]:
        return _contrast(left, right, draws, confidence, _improvement)
    resamples = len(draws[0][0])
    samples = np.zeros(resamples)
    for one, other, taken in zip(left, right, draws[0], strict=True):
        n = len(one)
        better = _better(one, other)
        weights = np.stack([(taken == place).sum(axis=1) for place in range(n)], axis=1).astype(float)
        own = weights @ np.diag(better) / n
        pairs = n**2 - (weights**2).sum(axis=1)  # of different trunks
        others = ((weights @ better) * weights).sum(axis=1) - weights**2 @ np.diag(better)
        others = np.divide(others, pairs, out=own.copy(), where=pairs > 0)
        samples += (own / n + others * (n - 1) / n) / len(left)
    return _contrast(left, right, draws, confidence, _improvement, samples)


def _improvement(left: Strata, right: Strata) -> Array:
    return np.mean([_better(one, other).mean(axis=(-2, -1)) for one, other in zip(left, right, strict=True)], axis=0)


def _better(one: Array, other: Array) -> Array:
    """For each pair, 1 where the first is higher, half where they are equal."""
    return 0.5 * (one[..., :, None] > other[..., None, :]) + 0.5 * (one[..., :, None] >= other[..., None, :])


def _contrast(
    left: Strata,
    right: Strata,
    draws: tuple[Draws, Draws],
    confidence: float,
    compare: Callable[[Strata, Strata], Array],
    samples: Array | None = None,
) -> Interval:
    value = float(compare(left, right))
    sides = tuple(tuple(runs.shape[-1] for runs in side) for side in (left, right))
    if min(min(side) for side in sides) < 2:
        return Interval(value, math.nan, math.nan, sides=sides, method=SINGLE)
    if samples is None:
        both = zip((left, right), draws, strict=True)
        samples = compare(*([runs[taken] for runs, taken in _pairs(*side)] for side in both))
    low, high = _bounds(samples, confidence)
    words = in_words(confidence, len(draws[0][0]), len(left), paired=draws[0] is draws[1])
    return Interval(value, float(low), float(high), sides=sides, method=words)


def profile(strata: Strata, levels: Array, draws: Draws, confidence: float = 0.95) -> Band:
    """The performance profile: the share of runs above each level, averaged over environments, with its bounds."""
    return estimate_band([(runs > levels[:, None]).astype(float) for runs in strata], mean, draws, confidence)


# One share, one curve


def share(count: float, n: int, confidence: float = 0.95) -> Interval:
    """A share of runs with the score interval of Wilson (1927), which is right at none and at all of them too."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre, spread = count / n + z**2 / (2 * n), z * math.sqrt(count * (n - count) / n**3 + z**2 / (4 * n**2))
    low, high = ((centre + sign * spread) / (1 + z**2 / n) for sign in (-1, 1))
    words = f"{100 * confidence:g}% Wilson score interval"
    return Interval(count / n, max(0.0, low), min(1.0, high), sides=((n,),), method=words)


def area_under(steps: Array, values: Array) -> float:
    """Under the line through the points, divided by its length: the mean value over the steps. Jumps are two points."""
    length = steps[-1] - steps[0]
    if length == 0:
        return float(values[-1])
    return float(np.sum(np.diff(steps) * (values[1:] + values[:-1]) / 2) / length)
