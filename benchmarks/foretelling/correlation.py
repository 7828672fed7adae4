"""Kendall's tau-b of checkpoints that come in runs: within runs, between runs, and overall.

Checkpoints of one run resemble each other, and so do runs that share their initial network and the networks they are
compared with: such runs form a block. Blocks are the unit of every interval: whole blocks are drawn with replacement (a
cluster bootstrap). Only checkpoints of the same stratum are compared with each other, because the scale of most
measures depends on the network and the task.

For two checkpoints i and j, concordance is sign(x_i - x_j) sign(y_i - y_j), and tau-b is the sum of concordances over
sqrt(pairs not tied in x * pairs not tied in y). All three are sums over pairs, so they are summed for every pair of
blocks once. A resample that contains block b w_b times has the pairs within each of its w_b copies, and the pairs with
the copies of other blocks. Copies of the same block are not compared with each other: no two blocks are ever so alike.

With few blocks these intervals are somewhat too narrow. Within runs there is an exact test besides: if a measure
predicted nothing, the taus of all runs of a block could equally well have the opposite sign (Fisher, 1935).
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
LEAST_BLOCKS = 5  # with fewer blocks there is no interval: it would be far too narrow
LEVEL = 0.05
MOST_FLIPPED = 22  # blocks whose signs are flipped in every combination, 4 million; of more, RESAMPLES are drawn


@dataclass(frozen=True)
class Sample:
    """A measure x and an outcome y of some checkpoints, with the run, the block and the stratum of each."""

    x: Array
    y: Array
    run: Labels
    block: Labels
    stratum: Labels

    def __post_init__(self) -> None:
        sizes = sorted({len(each) for each in (self.x, self.y, self.run, self.block, self.stratum)})
        if len(sizes) != 1:
            raise ValueError(f"x, y, run, block and stratum have the lengths {sizes}; they have to be equally long")

    def known(self) -> "Sample":
        """Return the checkpoints for which both values are finite."""
        kept = np.isfinite(self.x) & np.isfinite(self.y)
        return Sample(self.x[kept], self.y[kept], self.run[kept], self.block[kept], self.stratum[kept])

    def means(self) -> "Sample":
        """Return one point for each run and stratum: the means of its checkpoints."""
        labels = np.stack([self.run, self.block, self.stratum], axis=1)
        points = np.unique(labels, axis=0)
        chosen = [(labels == point).all(1) for point in points]
        x, y = (np.array([values[each].mean() for each in chosen]) for values in (self.x, self.y))
        return Sample(x, y, *points.T)


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b with two intervals, or NaN where it is not known."""

    value: float
    low: float = math.nan  # 95%
    high: float = math.nan
    strict_low: float = math.nan  # 95% for all measures together (Bonferroni), if the test by sign flips can reach that
    strict_high: float = math.nan
    blocks: int = 0  # that it is computed from
    points: int = 0

    @property
    def settled(self) -> bool:
        """Whether there is an interval that is corrected for the number of measures, and excludes 0."""
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
    taus, blocks = [], []
    for run in np.unique(sample.run):
        parts = [(sample.run == run) & (sample.stratum == stratum) for stratum in np.unique(sample.stratum)]
        found = [tau_b(sample.x[part], sample.y[part]) for part in parts if part.sum() > 1]
        if known := [tau for tau in found if math.isfinite(tau)]:
            taus.append(sum(known) / len(known))
            blocks.append(sample.block[sample.run == run][0])
    if not taus:
        return Tau(math.nan)
    values, member = np.array(taus), _member(np.array(blocks))
    weights = weights_of(len(member)) @ member  # of runs
    resampled = weights @ values / weights.sum(1)
    p = sign_flips(member @ values)
    return _with_intervals(float(values.mean()), resampled, len(member), len(sample.x), intervals, p)


def sign_flips(sums: Array) -> float:
    """Return the two-sided p value of the sum of all blocks, if each block's sum could have the opposite sign."""
    if len(sums) > MOST_FLIPPED:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (RESAMPLES, len(sums)))
        flipped = np.append(signs @ sums, sums.sum())
    else:
        flipped = np.zeros(1)
        for each in sums:
            flipped = np.concatenate([flipped - each, flipped + each])
    return float((np.abs(flipped) >= abs(sums.sum()) - 1e-9).mean())


def between(sample: Sample, intervals: int = 1) -> Tau:
    """Return the tau of the runs' means."""
    return overall(sample.known().means(), intervals)


def overall(sample: Sample, intervals: int = 1) -> Tau:
    """Return the tau of all checkpoints, with an interval that resamples whole blocks."""
    sample = sample.known()
    blocks = len(np.unique(sample.block))
    value = float(resampled_overall(sample, np.ones((1, blocks)))[0])
    return _with_intervals(value, resampled_overall(sample, weights_of(blocks)), blocks, len(sample.x), intervals)


def resampled_overall(sample: Sample, weights: Array) -> Array:
    """Return the tau of each resample; `weights` are how often it contains each block, (resamples, blocks)."""
    member = _member(sample.block)
    compared = (sample.stratum[:, None] == sample.stratum[None, :]).astype(float)
    sums = [member @ (counts * compared) @ member.T for counts in _pairs(sample.x, sample.y)]
    return _tau(*(((weights @ each) * weights).sum(1) - (weights * (weights - 1)) @ each.diagonal() for each in sums))


def _member(blocks: Labels) -> Array:
    """Return which block each run or checkpoint belongs to, 1 or 0, (blocks, labels)."""
    return (blocks[None, :] == np.unique(blocks)[:, None]).astype(float)


def weights_of(blocks: int, resamples: int = RESAMPLES) -> Array:
    """Return how often each resample contains each block, (resamples, blocks); always the same draws."""
    if not blocks:
        return np.zeros((0, 0))
    return np.random.default_rng(0).multinomial(blocks, [1 / blocks] * blocks, size=resamples).astype(float)


def fewest_blocks(intervals: int) -> int:
    """Return how many blocks the corrected level LEVEL / intervals needs.

    The smallest two-sided p of a test by sign flips with n blocks is 2 / 2^n; it has to be at most this level.
    """
    return math.ceil(math.log2(2 * intervals / LEVEL))


def _with_intervals(value: float, resampled: Array, blocks: int, points: int, intervals: int, p: float = 0.0) -> Tau:
    resampled = resampled[np.isfinite(resampled)]
    if blocks < LEAST_BLOCKS or len(resampled) < RESAMPLES // 2 or not math.isfinite(value):
        return Tau(value, blocks=blocks, points=points)
    tails = [tail for level in (LEVEL, LEVEL / intervals) for tail in (level / 2, 1 - level / 2)]
    low, high, strict_low, strict_high = (float(bound) for bound in np.quantile(resampled, tails))
    if blocks < fewest_blocks(intervals) or p > LEVEL / intervals:
        strict_low = strict_high = math.nan
    return Tau(value, low, high, strict_low, strict_high, blocks, points)
