"""Aggregates of runs with their bootstrap intervals, as pure functions over arrays (Agarwal et al., 2021).

A method's scores are *strata*: one array for each environment, with the runs along its last axis and anything else
(points of a curve, levels of a profile) along the axes before. Runs are resampled within each environment; environments
may have different numbers of runs. Two methods whose runs are branches of the same trunks are resampled jointly. The
module `resampling` makes the resamples and their bounds. Percentile intervals of few runs are too narrow: see COVERAGE.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .resampling import Draws, Places, bounds

Array: TypeAlias = NDArray[np.float64]
Strata: TypeAlias = Sequence[Array]
Statistic: TypeAlias = Callable[[Strata], Array]  # the last axis of each stratum becomes one number

Sides: TypeAlias = tuple[tuple[int, ...], ...]
Number = TypeVar("Number", float, Array)

ENOUGH_RUNS = 10  # with this many runs, a percentile interval has about its nominal coverage
COVERAGE = {  # number of runs: true coverage of nominal 95% intervals of the mean and of the IQM
    2: (0.50, 0.50), 3: (0.75, 0.75), 4: (0.80, 0.87), 5: (0.84, 0.91), 6: (0.86, 0.91), 7: (0.88, 0.92),
    8: (0.89, 0.94), 9: (0.90, 0.94), 10: (0.91, 0.94), 20: (0.93, 0.94),
}  # fmt: skip
"""Measured by `python -m benchmarks.coverage`: 20,000 experiments with this many independent normal scores."""
SETTLING_RUNS = 5  # with fewer runs in some environment, no difference is called settled
AT_ONCE = 4_000_000  # numbers that are resampled at a time


@dataclass(frozen=True, eq=False)
class _Bounded(Generic[Number]):
    """What an interval and a band have in common."""

    value: Number
    low: Number  # NaN if there is no interval; may be inf if the value may
    high: Number
    sides: Sides = field(kw_only=True)  # numbers of runs in each environment, of one method or of two
    method: str = field(kw_only=True)  # how the bounds were computed, in words

    @property
    def bounded(self) -> bool:
        """Whether there is an interval (for a band: at every point); with a single run in an environment, none is."""
        return not bool(np.isnan(self.low).any() or np.isnan(self.high).any())

    @property
    def n(self) -> int:
        """The number of runs; for two methods, the smaller number."""
        return min(sum(side) for side in self.sides)

    @property
    def smallest(self) -> int:
        """The fewest runs that a method has in an environment, which decides how far to trust the interval."""
        return min(min(side) for side in self.sides)

    def runs_in_words(self, what: str = "run") -> str:
        """Return the number of runs in words, such as "5 runs", "5 and 1 runs", "2 environments × 5 runs"."""
        return runs_in_words(self.sides, what)


@dataclass(frozen=True)
class Interval(_Bounded[float]):
    """A number with its confidence interval."""


@dataclass(frozen=True, eq=False)
class Band(_Bounded[Array]):
    """An interval at each point of an axis."""


def runs_in_words(sides: Sides, what: str = "run") -> str:
    """Return the numbers of runs in words; those of both methods if they differ."""
    environments = len(sides[0])
    each = [f"{min(side)} to {max(side)}" if min(side) < max(side) else str(side[0]) for side in sides]
    numbers = " and ".join(dict.fromkeys(each))
    words = f"{numbers} {what}" if numbers == "1" else f"{numbers} {what}s"
    return f"{environments} environments × {words}" if environments > 1 else words


# Aggregates


def interquartile_mean(strata: Strata) -> Array:
    """Return the mean of the middle half of all runs: a quarter of them, rounded down, is left out at each end."""
    runs = np.sort(np.concatenate(strata, axis=-1), axis=-1)
    cut = runs.shape[-1] // 4
    return runs[..., cut : runs.shape[-1] - cut].mean(axis=-1)


def mean(strata: Strata) -> Array:
    """Return the mean of the environments' means, so that each has the same weight, however many runs it has."""
    return np.mean([runs.mean(axis=-1) for runs in strata], axis=0)


def median(strata: Strata) -> Array:
    """Return the median of all runs."""
    return np.median(np.concatenate(strata, axis=-1), axis=-1)


def median_of_means(strata: Strata) -> Array:
    """Return the median of the environments' means, which is usually called the median score of a benchmark."""
    return np.median([runs.mean(axis=-1) for runs in strata], axis=0)


CUTS: dict[Statistic, Callable[[int], int]] = {
    mean: lambda n: 0,
    median_of_means: lambda n: 0,
    interquartile_mean: lambda n: n // 4,
    median: lambda n: (n - 1) // 2,
}
"""In a single environment, each statistic is the mean of the sorted runs without this many at each end."""


# One method


def estimate(strata: Strata, statistic: Statistic, draws: Draws, confidence: float = 0.95) -> Interval:
    """Return a statistic of the runs with its percentile bootstrap interval."""
    band = estimate_band([runs[None] for runs in strata], statistic, draws, confidence)
    value, low, high = (float(each[0]) for each in (band.value, band.low, band.high))
    return Interval(value, low, high, sides=band.sides, method=band.method)


def estimate_band(strata: Strata, statistic: Statistic, draws: Draws, confidence: float = 0.95) -> Band:
    """Return a statistic with its percentile bootstrap interval at each point of the first axis."""
    sizes = tuple(runs.shape[-1] for runs in strata)
    value = statistic(strata)
    if min(sizes) < 2:
        nothing = np.full(value.shape, np.nan)
        return Band(value, nothing, nothing, sides=(sizes,), method=SINGLE)
    points = max(1, AT_ONCE // (len(draws) * (sum(sizes) if len(sizes) > 1 else 1)))
    parts = ([runs[first : first + points] for runs in strata] for first in range(0, len(value), points))
    found = [bounds(_resampled(part, statistic, draws), draws.weights, confidence) for part in parts]
    low, high = (np.concatenate(side) for side in zip(*found, strict=True))
    return Band(value, low, high, sides=(sizes,), method=in_words(confidence, draws, (sizes,)))


def _resampled(strata: Strata, statistic: Statistic, draws: Draws) -> Array:
    """Return the statistic of each resample, along a new last axis.

    In a single environment, every statistic here is linear in the sorted runs; in several, the environments' means are
    linear in the runs. All resamples of all points are therefore one matrix product.
    """
    if len(strata) > 1 and statistic in (mean, median_of_means):
        means = [runs @ draws.counts(place).T / runs.shape[-1] for place, runs in enumerate(strata)]
        found: Array = (np.mean if statistic is mean else np.median)(means, axis=0)
        return found
    if len(strata) > 1 or statistic not in CUTS:
        return statistic([runs[..., taken] for runs, taken in zip(strata, draws.taken, strict=True)])
    (runs,) = strata
    n = runs.shape[-1]
    cut = CUTS[statistic](n)
    sums: Array = np.sort(runs, axis=-1) @ draws.counts(0, cut).T
    return sums / (n - 2 * cut)


SINGLE = "a single run in an environment: no interval"


def in_words(confidence: float, draws: Draws, sides: Sides, paired: bool = False) -> str:
    """Return in words how an interval was computed: from all resamples, or from how many drawn ones."""
    what, joint = ("trunk", ", jointly for both methods") if paired else ("run", "")
    where = " within each environment" if len(sides[0]) > 1 else ""
    start = f"{100 * confidence:g}% percentile bootstrap"
    if draws.exact:
        return f"{start}, exact, all resamples of {runs_in_words(sides, what)}{joint}{where}"
    return f"{start}, {len(draws):,} resamples of {what}s{joint}{where}"


def profile(strata: Strata, levels: Array, draws: Draws, confidence: float = 0.95) -> Band:
    """Return the performance profile: the share of runs above each level, averaged over environments, with its band."""
    return estimate_band([(runs > levels[:, None]).astype(float) for runs in strata], mean, draws, confidence)


# One share, one curve


def share(count: float, n: int, confidence: float = 0.95) -> Interval:
    """Return a share of runs with the score interval of Wilson (1927), which is also valid for shares of 0 and 1."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre, spread = count / n + z**2 / (2 * n), z * math.sqrt(count * (n - count) / n**3 + z**2 / (4 * n**2))
    low, high = ((centre + sign * spread) / (1 + z**2 / n) for sign in (-1, 1))
    words = f"{100 * confidence:g}% Wilson score interval"
    return Interval(count / n, max(0.0, low), min(1.0, high), sides=((n,),), method=words)


# Medians of times some of which are censored, because an event was not observed (Kaplan & Meier, 1958)


def kaplan_meier_median(times: Array, reached: NDArray[np.bool_], weights: Array | None = None) -> Array:
    """Return the time by which half of the runs have reached the goal; inf if less than half did.

    `times` are the times to the goal, or for runs that did not reach it how long they were observed. `weights` are the
    counts of each run in each resample (resamples x times).
    """
    weights = np.ones((1, len(times))) if weights is None else weights
    moments = np.unique(times[reached])
    events = weights @ (reached[:, None] & (times[:, None] == moments))
    watched = weights @ (times[:, None] >= moments)
    left = np.cumprod(1 - np.divide(events, watched, out=np.zeros_like(events), where=watched > 0), axis=1)
    half = np.append(left <= 0.5 + 1e-9, np.ones((len(weights), 1), dtype=bool), axis=1)  # the last column: inf
    return np.append(moments, np.inf)[half.argmax(axis=1)]


def median_time(
    times: Array, reached: NDArray[np.bool_], draws: Draws, confidence: float = 0.95, runs: Places | None = None
) -> Interval:
    """Return the Kaplan-Meier median with its bootstrap interval, whose bounds may be inf.

    If runs have several times, `runs` are the places of the runs that the times belong to; whole runs are resampled.
    """
    runs = np.arange(len(times)) if runs is None else runs
    value, n = float(kaplan_meier_median(times, reached)[0]), len(np.unique(runs))
    if n < 2:
        return Interval(value, math.nan, math.nan, sides=((n,),), method=SINGLE)
    taken = draws.counts(0)[:, runs]
    size = max(1, AT_ONCE // len(times))
    parts = [kaplan_meier_median(times, reached, taken[first : first + size]) for first in range(0, len(taken), size)]
    low, high = bounds(np.concatenate(parts), draws.weights, confidence)
    words = f"Kaplan-Meier median, {in_words(confidence, draws, ((n,),))}"
    return Interval(value, float(low), float(high), sides=((n,),), method=words)
