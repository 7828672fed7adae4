"""Computes how many seeds a comparison needs, from the power of t tests with a correction for several differences.

Effects are measured in standard deviations: for branches of the same trunks, those of the differences between the
branches; otherwise those of a method's runs. Scores are assumed to be normally distributed, and Holm's correction is
replaced by its first step, which is Bonferroni's. The exact tests of the report have nearly the power of the t test,
but reject nothing with fewer runs than `families.least_runs`.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .contrasts import in_order, pairs_of
from .families import least_runs
from .resampling import Array

POWER = 0.8
LEVEL = 0.05
MOST_SEEDS = 10_000
LARGEST = 100.0  # upper end of the search for an effect
HALVINGS = 60  # steps of a bisection
NODES = 401  # of the integral over the estimated standard deviation


def power(effect: float, n: int, level: float, paired: bool) -> float:
    """Return the probability that a two-sided t test finds an effect with n pairs, or n runs of each method."""
    freedom, centre = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    return 0.0 if n < least_runs(level, paired) else _beyond(_critical(level, freedom), centre, freedom)


def seeds_needed(effect: float, differences: int, paired: bool) -> int | None:
    """Return the seeds needed for a power of 80% with this many differences; None if more than 10,000."""

    def enough(seeds: int) -> bool:
        return power(effect, seeds, LEVEL / differences, paired) >= POWER

    return 2 + bisect_left(range(2, MOST_SEEDS), True, key=enough) if enough(MOST_SEEDS) else None


def detectable(n: int, differences: int, paired: bool) -> float | None:
    """Return the effect that n seeds find with a power of 80%; None if no effect, however large, can be found."""
    level = LEVEL / differences
    if n < least_runs(level, paired):
        return None
    low, high = 0.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n, level, paired) >= POWER else (middle, high)
    return high


def _beyond(critical: float, centre: float, freedom: int) -> float:
    """Return the probability that a noncentral t variable is beyond +-critical, by an integral over its chi part."""
    spreads, weights = _spreads(freedom)
    return float(weights @ (_normal(centre - critical * spreads) + _normal(-centre - critical * spreads)))


@lru_cache
def _critical(level: float, freedom: int) -> float:
    low, high = 0.0, 1e5
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(middle, 0.0, freedom) > level else (low, middle)
    return high


@lru_cache
def _spreads(freedom: int) -> tuple[Array, Array]:
    """Return values of chi / sqrt(freedom), which is the estimated over the true standard deviation, with weights."""
    logs = np.linspace(-12 / math.sqrt(freedom), math.log(1 + 6 / math.sqrt(freedom)), NODES)
    spreads = np.exp(logs)
    density = freedom * logs - freedom * spreads**2 / 2  # the log density of log(chi), up to a constant
    weights = np.exp(density - density.max())
    return spreads, weights / weights.sum()


def _normal(values: Array) -> Array:
    """The standard normal distribution function."""
    return 0.5 * np.array([math.erfc(-value / math.sqrt(2)) for value in values.tolist()])


def seeds_in_words(
    methods: Sequence[str], seeds: int, paired: bool, baseline: str | None, reference: str | None
) -> list[str]:
    """Return sentences on which differences this many seeds can find; empty if no methods are compared."""
    names, first, other = in_order(methods, baseline, reference)
    many = len(pairs_of(names, first, other))
    if not many:
        return []
    size = "its standard deviation over the trunks" if paired else "the standard deviation of a method's runs"
    together = f"{many} differences tested together" if many > 1 else "1 difference tested"
    found = [
        f"seeds: {seeds_needed(1.0, many, paired)} are needed to find a difference as large as {size}, in 80% of "
        f"comparisons ({together}, p 0.05 after Holm's correction)"
    ]
    effect, least = detectable(seeds, many, paired), least_runs(LEVEL / many, paired)
    given = f"{seeds} seed{'s' * (seeds != 1)}"
    if effect is None:
        which = "none of these differences" if many > 1 else "no difference"
        found.append(f"with {given}, {which} can be settled, however large it is; at least {least} seeds are needed")
    else:
        find = "finds" if seeds == 1 else "find"
        found.append(f"{given} {find} a difference of {effect:.2g} such standard deviations with the same power")
    return found
