"""Exact tests of two methods' mean difference, and the intervals that belong to them.

Paired (Fisher, 1935): if two methods do not differ, each trunk's difference could as well have had the other sign; all
2^n ways to flip signs are looked at. Not paired (Pitman, 1937): the labels could as well have been dealt otherwise; all
ways to deal them within each environment are looked at. The share of ways that give a difference as large or larger is
the p value, exact however few runs there are and however they are distributed; two-sided, twice the smaller side's.

A shift that is taken away from all runs of one method changes p; the interval holds the shifts that are not rejected.
Each way of flipping or dealing rejects from one shift on, which is the (weighted) mean of the differences it changes:
so the bounds are ordered such means (Hartigan, 1969; Garthwaite, 1996). With few runs p cannot be small, and there is
no interval: of 5 pairs the smallest is 2/32.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from .resampling import ROUNDING, Array
from .statistics import Strata

MOST_WAYS = 200_000  # up to which all are looked at
DRAWN_WAYS = 49_999  # otherwise, and the one that was seen

Changes: TypeAlias = tuple[Array, Array]  # of each way: by how much, and how much of it is any shift's


@dataclass(frozen=True, eq=False)
class Permutations:
    """Every way to flip signs or to deal labels."""

    shifts: Array  # from which on each way rejects, in rising order
    unchanged: int  # ways that leave all as it was seen, and reject no shift
    exact: bool

    @property
    def ways(self) -> int:
        return len(self.shifts) + self.unchanged

    @property
    def p(self) -> float:
        """Of no difference, two-sided."""
        fewer = min(int((self.shifts <= 0).sum()), int((self.shifts >= 0).sum()))
        return min(1.0, 2 * (self.unchanged + fewer) / self.ways)

    def interval(self, confidence: float) -> tuple[float, float]:
        """The shifts that are not rejected; NaN where there are too few ways to reject any."""
        place = math.floor(self.ways * (1 - confidence) / 2 * (1 + ROUNDING)) - self.unchanged
        if not 0 <= place < len(self.shifts):
            return math.nan, math.nan
        return float(self.shifts[place]), float(self.shifts[-1 - place])


def permutations(left: Strata, right: Strata, paired: bool, seed: int = 0) -> Permutations:
    """Of the mean over environments of left's mean minus right's."""
    pairs = list(zip(left, right, strict=True))
    exact = math.prod(ways(len(one), len(other), paired) for one, other in pairs) <= MOST_WAYS
    generator = None if exact else np.random.default_rng(seed)
    sums, sizes = np.zeros(1), np.zeros(1)
    for one, other in pairs:
        more, larger = _flipped(one - other, generator) if paired else _dealt(one, other, generator)
        sums, sizes = (
            (np.add.outer(sums, more).ravel(), np.add.outer(sizes, larger).ravel())
            if exact
            else (sums + more, sizes + larger)
        )
    changed = sizes > ROUNDING
    shifts = sums[changed] / sizes[changed]
    scale = max(float(np.abs(runs).max()) for side in (left, right) for runs in side)
    shifts = np.sort(np.where(np.abs(shifts) <= 10 * ROUNDING * scale, 0.0, shifts))
    return Permutations(shifts, len(sums) - len(shifts) + (not exact), exact)


def ways(n: int, others: int, paired: bool) -> int:
    """To flip the signs of n pairs, or to deal the labels of n runs and so many others."""
    return 2**n if paired else math.comb(n + others, n)


def _flipped(differences: Array, generator: np.random.Generator | None) -> Changes:
    """Each subset of the differences whose signs are flipped: its sum, and how many of all it has."""
    n = len(differences)
    if generator is not None:
        chosen = generator.integers(2, size=(DRAWN_WAYS, n))
        return chosen @ differences / n, chosen.sum(axis=1) / n
    sums, sizes = np.zeros(1), np.zeros(1)
    for difference in differences.tolist():
        sums, sizes = np.append(sums, sums + difference), np.append(sizes, sizes + 1)
    return sums / n, sizes / n


def _dealt(left: Array, right: Array, generator: np.random.Generator | None) -> Changes:
    """Each exchange of some of left's runs for as many of right's: by how much it changes the difference of means."""
    n, others = len(left), len(right)
    if generator is None:
        chosen = _all_deals(n, others)
    else:
        labels = np.repeat([1.0, 0.0], [n, others])
        chosen = generator.permuted(np.tile(labels, (DRAWN_WAYS, 1)), axis=1)
    stays, comes = chosen[:, :n], chosen[:, n:]
    weight = 1 / n + 1 / others
    return weight * ((1 - stays) @ left - comes @ right), weight * comes.sum(axis=1)


@lru_cache(maxsize=4)
def _all_deals(n: int, others: int) -> Array:
    """Every way to give n of the runs the first label: 1 for those that have it."""
    places = np.array(list(itertools.combinations(range(n + others), n)))
    chosen = np.zeros((len(places), n + others))
    np.put_along_axis(chosen, places, 1.0, axis=1)
    return chosen
