"""The difference between two methods' scores, and how often the runs of one are better than those of the other."""

import math

import numpy as np

from .resampling import MOST_TOGETHER, Draws, bounds, bounds_of_difference, without_rounding
from .statistics import SINGLE, Array, Interval, Sides, Statistic, Strata, in_words


def difference(
    left: Strata, right: Strata, statistic: Statistic, draws: Draws, others: Draws | None = None,
    confidence: float = 0.95,
) -> Interval:  # fmt: skip
    """Return the left statistic minus the right one. Without `others`, the runs are paired by their positions."""
    sides, size = _sides(left, right), max(float(np.abs(runs).max()) for side in (left, right) for runs in side)
    value = without_rounding(float(statistic(left) - statistic(right)), size)
    if _single(sides):
        return Interval(value, math.nan, math.nan, sides=sides, method=SINGLE)
    one, other = draws, draws if others is None else others
    if not (one.exact and other.exact):
        one, other = one.drawn(), other.drawn()
    first, second = (
        statistic([runs[taken] for runs, taken in zip(side, each.taken, strict=True)])
        for side, each in ((left, one), (right, other))
    )
    if others is not None and one.weights is not None and other.weights is not None:
        found = bounds_of_difference(first, one.weights, second, other.weights, confidence)
    else:
        low, high = bounds(first - second, one.weights, confidence)
        found = float(low), float(high)
    lowest, highest = (without_rounding(bound, size) for bound in found)
    return Interval(value, lowest, highest, sides=sides, method=in_words(confidence, one, sides, others is None))


def improvement(
    left: Strata, right: Strata, draws: Draws, others: Draws | None = None, confidence: float = 0.95
) -> Interval:
    """Return the probability that a run of `left` has a higher score than a run of `right`; ties count half.

    It is Mann and Whitney's U over the number of pairs, averaged over environments. Without `others`, the runs are
    paired by their positions. A resample that contains a trunk twice would compare the two branches of this trunk too
    often; the pairs of one trunk therefore keep the weight that they have without resampling, 1 / n.
    """
    sides, better = _sides(left, right), [_better(one, other) for one, other in zip(left, right, strict=True)]
    value = float(np.mean([pairs.mean() for pairs in better]))
    if _single(sides):
        return Interval(value, math.nan, math.nan, sides=sides, method=SINGLE)
    if others is None:
        samples = np.mean([_of_trunks(pairs, draws.counts(place)) for place, pairs in enumerate(better)], axis=0)
        low, high = bounds(samples, draws.weights, confidence)
        return Interval(value, float(low), float(high), sides=sides, method=in_words(confidence, draws, sides, True))
    one, other = draws, others
    together = one.exact and other.exact and len(one) * len(other) <= MOST_TOGETHER
    if not together:
        one, other = one.drawn(), other.drawn()
    parts = [
        ours @ pairs @ theirs.T / pairs.size if together else ((ours @ pairs) * theirs).sum(axis=1) / pairs.size
        for ours, pairs, theirs in ((one.counts(at), pairs, other.counts(at)) for at, pairs in enumerate(better))
    ]
    samples, weights = np.mean(parts, axis=0).ravel(), None
    if one.weights is not None and other.weights is not None:
        denominator = len(better) * math.lcm(*(2 * pairs.size for pairs in better))
        samples, weights = _distinct(samples, np.outer(one.weights, other.weights).ravel(), denominator)
    low, high = bounds(samples, weights, confidence)
    return Interval(value, float(low), float(high), sides=sides, method=in_words(confidence, one, sides))


def _of_trunks(better: Array, counts: Array) -> Array:
    """Return the probability of improvement in each resample of trunks."""
    n = len(better)
    own = counts @ np.diag(better) / n
    pairs = n**2 - (counts**2).sum(axis=1)  # number of pairs of different trunks
    others = ((counts @ better) * counts).sum(axis=1) - counts**2 @ np.diag(better)
    others = np.divide(others, pairs, out=own.copy(), where=pairs > 0)
    return own / n + others * (n - 1) / n


def _distinct(samples: Array, weights: Array, denominator: int) -> tuple[Array, Array]:
    """Return each different value of the probabilities once, with its weight: there may be millions of equal ones."""
    found = np.zeros(denominator + 1)
    found += np.bincount(np.rint(samples * denominator).astype(np.int64), weights, minlength=denominator + 1)
    places = np.flatnonzero(found)
    return places / denominator, found[places]


def _better(one: Array, other: Array) -> Array:
    """Return 1 for each pair in which the first is higher, and 0.5 for each in which both are equal."""
    return 0.5 * (one[..., :, None] > other[..., None, :]) + 0.5 * (one[..., :, None] >= other[..., None, :])


def _sides(left: Strata, right: Strata) -> Sides:
    return tuple(tuple(runs.shape[-1] for runs in side) for side in (left, right))


def _single(sides: Sides) -> bool:
    return min(min(side) for side in sides) < 2
