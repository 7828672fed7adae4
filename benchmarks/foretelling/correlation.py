"""Kendall's tau-b of checkpoints that come in runs: within runs, between runs, and overall.

Checkpoints of one run resemble each other, so runs are the unit of every interval: whole runs are drawn with
replacement (a cluster bootstrap). Only checkpoints of the same stratum are compared with each other, because the scale
of most measures depends on the network and the task.

For two checkpoints i and j, concordance is sign(x_i - x_j) sign(y_i - y_j), and tau-b is the sum of concordances over
sqrt(pairs not tied in x * pairs not tied in y). All three are sums over pairs, so they are summed for every pair of
runs once. A resample that contains run r w_r times then has the sums w S w, in which two copies of a run are two runs.
Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945; Davison and Hinkley, "Bootstrap Methods and
their Application", 1997, section 3.8, on resampling clusters.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

RESAMPLES = 20_000
LEAST_RUNS = 5  # with fewer runs there is no interval: it would be far too narrow


@dataclass(frozen=True)
class Sample:
    """A measure x and an outcome y of some checkpoints, with the run and the stratum of each."""

    x: Array
    y: Array
    run: Labels
    stratum: Labels

    def __post_init__(self) -> None:
        sizes = {len(self.x), len(self.y), len(self.run), len(self.stratum)}
        if len(sizes) != 1:
            raise ValueError(f"x, y, run and stratum have the lengths {sorted(sizes)}; they have to be equally long")

    def known(self) -> "Sample":
        """Return the checkpoints for which both values are finite."""
        kept = np.isfinite(self.x) & np.isfinite(self.y)
        return Sample(self.x[kept], self.y[kept], self.run[kept], self.stratum[kept])

    def means(self) -> "Sample":
        """Return one point for each run and stratum: the means of its checkpoints."""
        pairs = sorted(set(zip(self.run.tolist(), self.stratum.tolist(), strict=True)))
        chosen = [(self.run == run) & (self.stratum == stratum) for run, stratum in pairs]
        x, y = (np.array([values[each].mean() for each in chosen]) for values in (self.x, self.y))
        run, stratum = (np.array([pair[place] for pair in pairs], dtype=np.int64) for place in (0, 1))
        return Sample(x, y, run, stratum)


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b with two intervals, or NaN where it is not known."""

    value: float
    low: float = math.nan  # 95%
    high: float = math.nan
    strict_low: float = math.nan  # 95% for all intervals of a table together (Bonferroni)
    strict_high: float = math.nan
    runs: int = 0  # that it is computed from
    points: int = 0

    @property
    def settled(self) -> bool:
        """Whether the interval that is corrected for the number of measures excludes 0."""
        return self.strict_low > 0 or self.strict_high < 0


def tau_b(x: Array, y: Array) -> float:
    """Return Kendall's tau-b; NaN if all x or all y are equal."""
    return float(_tau(*(counts.sum() for counts in _pairs(x, y))))


def _pairs(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return for each ordered pair: its concordance, and whether it is not tied in x, and in y."""
    first, second = (np.sign(values[:, None] - values[None, :]) for values in (x, y))
    return first * second, np.abs(first), np.abs(second)


def _tau(concordance: Array, in_x: Array, in_y: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(concordance / np.sqrt(in_x * in_y))


def within(sample: Sample, intervals: int = 1) -> Tau:
    """Return the mean over runs of the tau of each run; strata of one run are averaged first."""
    sample = sample.known()
    taus = []
    for run in np.unique(sample.run):
        parts = [(sample.run == run) & (sample.stratum == stratum) for stratum in np.unique(sample.stratum)]
        found = [tau_b(sample.x[part], sample.y[part]) for part in parts if part.sum() > 1]
        if known := [tau for tau in found if math.isfinite(tau)]:
            taus.append(sum(known) / len(known))
    values = np.array(taus)
    if not len(values):
        return Tau(math.nan)
    weights = weights_of(len(values))
    return _with_intervals(float(values.mean()), weights @ values / len(values), len(values), len(sample.x), intervals)


def between(sample: Sample, intervals: int = 1) -> Tau:
    """Return the tau of the runs' means."""
    return overall(sample.known().means(), intervals)


def overall(sample: Sample, intervals: int = 1) -> Tau:
    """Return the tau of all checkpoints, with an interval that resamples whole runs."""
    sample = sample.known()
    runs = len(np.unique(sample.run))
    value = float(resampled_overall(sample, np.ones((1, runs)))[0])
    return _with_intervals(value, resampled_overall(sample, weights_of(runs)), runs, len(sample.x), intervals)


def resampled_overall(sample: Sample, weights: Array) -> Array:
    """Return the tau of each resample; `weights` are how often it contains each run, (resamples, runs)."""
    labels, places = np.unique(sample.run, return_inverse=True)
    member = (places[None, :] == np.arange(len(labels))[:, None]).astype(float)
    compared = (sample.stratum[:, None] == sample.stratum[None, :]).astype(float)
    sums = (member @ (counts * compared) @ member.T for counts in _pairs(sample.x, sample.y))
    return _tau(*(((weights @ each) * weights).sum(1) for each in sums))


def weights_of(runs: int, resamples: int = RESAMPLES) -> Array:
    """Return how often each resample contains each run, (resamples, runs); always the same draws."""
    if not runs:
        return np.zeros((0, 0))
    return np.random.default_rng(0).multinomial(runs, [1 / runs] * runs, size=resamples).astype(float)


def _with_intervals(value: float, resampled: Array, runs: int, points: int, intervals: int) -> Tau:
    resampled = resampled[np.isfinite(resampled)]
    if runs < LEAST_RUNS or len(resampled) < RESAMPLES // 2 or not math.isfinite(value):
        return Tau(value, runs=runs, points=points)
    levels = [0.025, 0.975, 0.025 / intervals, 1 - 0.025 / intervals]
    low, high, strict_low, strict_high = (float(bound) for bound in np.quantile(resampled, levels))
    return Tau(value, low, high, strict_low, strict_high, runs, points)
