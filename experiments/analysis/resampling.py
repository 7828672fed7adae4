"""Resamples of runs: every one that there is, with its probability, or 50,000 drawn ones where there are too many.

A resample of n runs is n of them, drawn with replacement. Of the n^n ways to draw, those that take the same runs in
another order are the same resample: with 5 runs there are 126, with 7 there are 1,716, and each is as likely as it has
orders (multinomial weights). An interval made of all of them is computed, not drawn, and depends on no seed.

Bounds of nominal 95% are the outermost values that at least 2.5% of the resamples reach: the low one is the smallest
value v with P(resample <= v) >= 2.5%, the high one the largest with P(resample >= v) >= 2.5%. That is the inverse of
the distribution function, as `numpy.quantile(method="inverted_cdf")` has it, taken alike from both ends: nothing is
interpolated between values, and where 2.5% is met exactly, the wider interval is taken.
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

RESAMPLES = 50_000  # that are drawn: as many as rliable draws unless told otherwise
MOST_ENUMERATED = 50_000  # resamples, up to which all are looked at
MOST_TOGETHER = 4_000_000  # resamples of one method beside those of another, up to which all are looked at
HALVINGS = 60  # of the range in which a bound of a difference lies
ROUNDING = 1e-12  # of sums and of shares: less than this, relatively, is no difference


@dataclass(frozen=True, eq=False)
class Draws:
    """Resamples of runs, drawn within each environment."""

    taken: tuple[Places, ...]  # for each environment: resamples x runs, as places in rising order
    weights: Array | None = None  # how many ways there are to draw each, where all are here; None: drawn, all alike
    resamples: int = RESAMPLES  # and the seed: of those drawn instead
    seed: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.taken[0])

    @property
    def exact(self) -> bool:
        return self.weights is not None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Runs in each environment."""
        return tuple(taken.shape[1] for taken in self.taken)

    def drawn(self) -> "Draws":
        """The same runs with resamples that are drawn, whether or not all could be looked at."""
        return draw_runs(self.sizes, self.resamples, self.seed, exactly=False) if self.exact else self

    def counts(self, environment: int, cut: int = 0) -> Array:
        """How often each resample has each run, resamples x runs; without the lowest and the highest `cut` of them."""
        taken = self.taken[environment]
        n = taken.shape[1]
        kept = taken[:, cut : n - cut]
        found = np.zeros((len(taken), n))
        for column in kept.T:
            found[np.arange(len(taken)), column] += 1
        return found


def draw_runs(sizes: Sequence[int], resamples: int, seed: Sequence[int], exactly: bool = True) -> Draws:
    """All resamples where they are few enough, else so many drawn ones, the same for the same seed."""
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
    """Every resample of so many runs, as places in rising order, and in how many orders each can be drawn."""
    taken = np.array(list(itertools.combinations_with_replacement(range(size), size)), dtype=np.int64)
    factorials = np.array([math.factorial(count) for count in range(size + 1)], dtype=float)
    counts = (taken[:, :, None] == np.arange(size)).sum(axis=1)
    return taken, factorials[size] / factorials[counts].prod(axis=1)


def bounds(samples: Array, weights: Array | None, confidence: float) -> tuple[Array, Array]:
    """Low and high of resamples, over the last axis; `weights` as `Draws` has them."""
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
    """Of all resamples of one method minus all of another, each with each.

    These may be millions. How many are at or below a value is counted without writing them out, and the bound is found
    by halving the range in which it lies.
    """
    tail = (1 - confidence) / 2 * (1 - ROUNDING)
    low = _lowest(left, left_weights, right, right_weights, tail)
    high = -_lowest(right, right_weights, left, left_weights, tail)
    return low, high


def _lowest(left: Array, left_weights: Array, right: Array, right_weights: Array, tail: float) -> float:
    """The smallest v for which at least a share `tail` of the differences are at or below it."""
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
    """0 where a difference of numbers of this size is nothing but rounding."""
    return 0.0 if abs(value) <= 10 * ROUNDING * scale else value
