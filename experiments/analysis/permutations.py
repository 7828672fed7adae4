"""Exact permutation tests of the difference between two methods' means, and the intervals from inverting them.

Paired (Fisher, 1935): if two methods do not differ, each trunk's difference could equally well have the opposite sign;
all 2^n combinations of signs are enumerated. Not paired (Pitman, 1937): the runs could equally well have been assigned
to the methods in another way; all assignments within each environment are enumerated. The share of them whose
difference is at least as large is the p value. It is exact for any number of runs and any distribution. It is
two-sided: twice that of the smaller side.

The interval contains all shifts that the test does not reject when they are subtracted from one method's runs. Each
permutation rejects from a certain shift on, which is the (weighted) mean of the differences that it changes, so the
bounds are order statistics of these means (Hartigan, 1969; Garthwaite, 1996). With few runs, p cannot be small, and
there is no interval: with 5 pairs the smallest p is 2/32.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from .resampling import ROUNDING, Array
from .statistics import Strata

MOST_WAYS = 200_000  # if there are at most this many permutations, all are enumerated
DRAWN_WAYS = 49_999  # otherwise this many are drawn; the observed one is added

# By how much each permutation changes the difference, and by how much it would change it for a shift of 1.
Changes: TypeAlias = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Permutations:
    """All permutations, or a random sample of them: combinations of signs, or assignments of runs to methods."""

    shifts: Array  # the shift from which on each permutation rejects, in rising order
    unchanged: int  # permutations that change nothing, and so reject no shift
    exact: bool  # whether all permutations were enumerated

    @property
    def ways(self) -> int:
        """The number of permutations."""
        return len(self.shifts) + self.unchanged

    @property
    def p(self) -> float:
        """The two-sided p value of the hypothesis that the methods do not differ."""
        fewer = min(int((self.shifts <= 0).sum()), int((self.shifts >= 0).sum()))
        return min(1.0, 2 * (self.unchanged + fewer) / self.ways)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds of the shifts that are not rejected; NaN if there are too few permutations for a bound."""
        place = math.floor(self.ways * (1 - confidence) / 2 * (1 + ROUNDING)) - self.unchanged
        if not 0 <= place < len(self.shifts):
            return math.nan, math.nan
        return float(self.shifts[place]), float(self.shifts[-1 - place])


def permutations(left: Strata, right: Strata, paired: bool, seed: int = 0) -> Permutations:
    """Return the permutations of the difference of means, averaged over environments."""
    pairs = list(zip(left, right, strict=True))
    exact = math.prod(ways(len(one), len(other), paired) for one, other in pairs) <= MOST_WAYS
    generator = None if exact else np.random.default_rng(seed)
    sums, sizes = np.zeros(1), np.zeros(1)
    add: Callable[[Array, Array], Array] = np.add.outer if exact else np.add
    for one, other in pairs:
        more, larger = _flipped(one - other, generator) if paired else _dealt(one, other, generator)
        sums, sizes = add(sums, more).ravel(), add(sizes, larger).ravel()
    changed = sizes > ROUNDING
    shifts = sums[changed] / sizes[changed]
    scale = max(float(np.abs(runs).max()) for side in (left, right) for runs in side)
    shifts = np.sort(np.where(np.abs(shifts) <= 10 * ROUNDING * scale, 0.0, shifts))
    return Permutations(shifts, len(sums) - len(shifts) + (not exact), exact)


def ways(n: int, others: int, paired: bool) -> int:
    """Return the number of sign combinations of n pairs, or of ways to assign n + others runs to two methods."""
    return 2**n if paired else math.comb(n + others, n)


def _flipped(differences: Array, generator: np.random.Generator | None) -> Changes:
    """Return, for each subset of differences whose signs are flipped, its sum and its size, both divided by n."""
    n = len(differences)
    if generator is not None:
        chosen = generator.integers(2, size=(DRAWN_WAYS, n))
        return chosen @ differences / n, chosen.sum(axis=1) / n
    sums, sizes = np.zeros(1), np.zeros(1)
    for difference in differences.tolist():
        sums, sizes = np.append(sums, sums + difference), np.append(sizes, sizes + 1)
    return sums / n, sizes / n


def _dealt(left: Array, right: Array, generator: np.random.Generator | None) -> Changes:
    """Return, for each exchange of runs between the methods, by how much it changes the difference of means."""
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
    """Return every choice of n among all runs, as rows with 1 for the chosen runs and 0 for the others."""
    places = np.array(list(itertools.combinations(range(n + others), n)))
    chosen = np.zeros((len(places), n + others))
    np.put_along_axis(chosen, places, 1.0, axis=1)
    return chosen
