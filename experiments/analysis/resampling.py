"""Resamples of runs for the bootstrap: all with their probabilities, or 50,000 drawn ones if there are too many.

A resample of n runs is n runs drawn with replacement. Draws that contain the same runs in another order are the same
resample: with 5 runs there are 126 different ones, with 7 there are 1,716. The probability of each is proportional to
the number of its orders (multinomial weights). An interval from all resamples is exact and does not depend on a seed.

The bounds of a nominal 95% interval are these: the low one is the smallest value v with P(resample <= v) >= 2.5%, the
high one the largest value v with P(resample >= v) >= 2.5%. This is the inverse of the distribution function, as in
`numpy.quantile(method="inverted_cdf")`, applied in the same way from both ends: nothing is interpolated between values,
and if 2.5% is met exactly, the wider interval is taken.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]

RESAMPLES = 50_000  # number of drawn resamples, which is rliable's default
MOST_ENUMERATED = 50_000  # up to this many resamples, all are enumerated
MOST_TOGETHER = 4_000_000  # up to this many pairs of two methods' resamples, all are enumerated
HALVINGS = 60  # steps of the bisection for a bound of a difference
ROUNDING = 1e-12  # relative rounding error of sums and shares; smaller differences count as 0


@dataclass(frozen=True, eq=False)
class Draws:
    """Resamples of runs, drawn within each environment."""

    taken: tuple[Places, ...]  # for each environment: resamples x runs, as places in rising order
    weights: Array | None = None  # number of orders of each resample if all are enumerated; None if they are drawn
    resamples: int = RESAMPLES  # the number and the seed that `drawn` uses
    seed: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.taken[0])

    @property
    def exact(self) -> bool:
        """Whether these are all resamples."""
        return self.weights is not None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of runs in each environment."""
        return tuple(taken.shape[1] for taken in self.taken)

    def drawn(self) -> "Draws":
        """Return drawn resamples of the same runs, even if all could be enumerated."""
        return draw_runs(self.sizes, self.resamples, self.seed, exactly=False) if self.exact else self

    def counts(self, environment: int, cut: int = 0) -> Array:
        """Return how often each resample contains each run (resamples x runs), without its `cut` lowest and highest."""
        taken = self.taken[environment]
        n = taken.shape[1]
        kept = taken[:, cut : n - cut]
        found = np.zeros((len(taken), n))
        for column in kept.T:
            found[np.arange(len(taken)), column] += 1
        return found


def draw_runs(sizes: Sequence[int], resamples: int, seed: Sequence[int], exactly: bool = True) -> Draws:
    """Return all resamples if they are few enough and `exactly` is true, else `resamples` ones drawn with this seed."""
    return _draw_runs(tuple(sizes), resamples, tuple(seed), exactly)


@lru_cache(maxsize=8)
def _draw_runs(sizes: tuple[int, ...], resamples: int, seed: tuple[int, ...], exactly: bool) -> Draws:
    counts = [math.comb(2 * size - 1, size) for size in sizes]
    if exactly and math.prod(counts) <= MOST_ENUMERATED:
        places = np.unravel_index(np.arange(math.prod(counts)), counts)
        found = [multisets(size) for size in sizes]
        taken = tuple(rows[place] for (rows, _), place in zip(found, places, strict=True))
        ways = np.prod([ways[place] for (_, ways), place in zip(found, places, strict=True)], axis=0)
        return Draws(taken, ways, resamples, seed)
    generator = np.random.default_rng(list(seed))
    drawn = [generator.integers(size, size=(resamples, size)) for size in sizes]
    return Draws(tuple(np.sort(each, axis=1) for each in drawn), None, resamples, seed)


@lru_cache
def multisets(size: int) -> tuple[Places, Array]:
    """Return every resample of `size` runs, as places in rising order, and the number of orders of each."""
    taken = np.array(list(itertools.combinations_with_replacement(range(size), size)), dtype=np.int64)
    factorials = np.array([math.factorial(count) for count in range(size + 1)], dtype=float)
    counts = (taken[:, :, None] == np.arange(size)).sum(axis=1)
    return taken, factorials[size] / factorials[counts].prod(axis=1)


def bounds(samples: Array, weights: Array | None, confidence: float) -> tuple[Array, Array]:
    """Return the low and high bound of resamples over the last axis; `weights` are those of `Draws`."""
    tail = (1 - confidence) / 2 * (1 - ROUNDING)
    size = samples.shape[-1]
    if weights is None:
        outside = max(0, math.ceil(tail * size) - 1)
        ordered = np.partition(samples, (outside, size - 1 - outside), axis=-1)
        return ordered[..., outside], ordered[..., size - 1 - outside]
    order = np.argsort(samples, axis=-1)
    shares = weights[order] / weights.sum()
    low = (np.cumsum(shares, axis=-1) >= tail).argmax(axis=-1)
    high = size - 1 - (np.cumsum(shares[..., ::-1], axis=-1) >= tail).argmax(axis=-1)
    low, high = (np.take_along_axis(order, place[..., None], axis=-1) for place in (low, high))
    first, last = (np.take_along_axis(samples, place, axis=-1)[..., 0] for place in (low, high))
    return first, last


def bounds_of_difference(
    left: Array, left_weights: Array, right: Array, right_weights: Array, confidence: float
) -> tuple[float, float]:
    """Return the bounds of all differences between a resample of one method and a resample of another.

    There may be millions of them. Their distribution function is computed without listing them, and each bound is found
    by bisection.
    """
    tail = (1 - confidence) / 2 * (1 - ROUNDING)
    low = _lowest(left, left_weights, right, right_weights, tail)
    high = -_lowest(right, right_weights, left, left_weights, tail)
    return low, high


def _lowest(left: Array, left_weights: Array, right: Array, right_weights: Array, tail: float) -> float:
    """Return the smallest v such that at least a share `tail` of the differences are at most v."""
    order = np.argsort(right)
    ordered = right[order]
    below = np.append(0.0, np.cumsum(right_weights[order])) / right_weights.sum()
    shares = left_weights / left_weights.sum()
    scale = max(float(np.abs(left).max()), float(np.abs(right).max()))
    first, last = float(left.min() - right.max()), float(left.max() - right.min())
    rounding = ROUNDING * scale
    start = first - 2 * rounding
    for _ in range(HALVINGS):
        if last - start <= rounding:
            break
        middle = (start + last) / 2
        reached = 1 - below[np.searchsorted(ordered, left - middle - rounding, side="left")]
        start, last = (start, middle) if float(shares @ reached) >= tail else (middle, last)
    return without_rounding(last, scale)


def without_rounding(value: float, scale: float) -> float:
    """Return 0 if a difference of numbers of the size `scale` is only rounding error, else the value."""
    return 0.0 if abs(value) <= 10 * ROUNDING * scale else value
