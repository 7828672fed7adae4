"""How many seeds a comparison needs, before it is run: the power of t tests, corrected for how many there are.

Effects are in standard deviations: of branches of the same trunks, of the trunks' differences; otherwise of a method's
runs. Scores are taken as normal, the first step of Holm's correction as Bonferroni's. The exact tests of the report
have nearly the power of the t test, but reject nothing with fewer runs than `families.least_runs`.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .contrasts import in_order, pairs_of
from .families import least_runs
from .resampling import Array

POWER = 0.8
LEVEL = 0.05
MOST_SEEDS = 10_000
LARGEST = 100.0  # effect that is looked for
HALVINGS = 60
NODES = 401  # of the integral over the estimated standard deviation


def power(effect: float, n: int, level: float, paired: bool) -> float:
    """That a two-sided t test at this level finds an effect with n pairs, or n runs of each method."""
    freedom, centre = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
    return 0.0 if n < least_runs(level, paired) else _beyond(_critical(level, freedom), centre, freedom)


def seeds_needed(effect: float, differences: int, paired: bool) -> int | None:
    """For a power of 80% of each of so many differences; None: more than 10,000."""
    level = LEVEL / differences
    first, last = 2, MOST_SEEDS
    if power(effect, last, level, paired) < POWER:
        return None
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if power(effect, middle, level, paired) >= POWER else (middle + 1, last)
    return first


def detectable(n: int, differences: int, paired: bool) -> float | None:
    """The effect that n seeds find with a power of 80%; None where no effect, however large, can be found."""
    level = LEVEL / differences
    if n < least_runs(level, paired):
        return None
    low, high = 0.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n, level, paired) >= POWER else (middle, high)
    return high


def _beyond(critical: float, centre: float, freedom: int) -> float:
    """Of Student's noncentral t, the probability beyond +-critical: a normal over a chi, the chi integrated over."""
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
    """Values of chi / sqrt(freedom), the estimated over the true standard deviation, and the probability of each."""
    logs = np.linspace(-12 / math.sqrt(freedom), math.log(1 + 6 / math.sqrt(freedom)), NODES)
    spreads = np.exp(logs)
    density = freedom * logs - freedom * spreads**2 / 2  # of its logarithm, but for a constant
    weights = np.exp(density - density.max())
    return spreads, weights / weights.sum()


def _normal(values: Array) -> Array:
    """The standard normal distribution function."""
    return 0.5 * np.array([math.erfc(-value / math.sqrt(2)) for value in values.tolist()])


def seeds_said(
    methods: Sequence[str], seeds: int, paired: bool, baseline: str | None, reference: str | None
) -> list[str]:
    """What a comparison with so many seeds can settle, in sentences; nothing where nothing is compared."""
    names, first, other = in_order(methods, baseline, reference)
    many = len(pairs_of(names, first, other))
    if not many:
        return []
    of_what = "of the differences between branches of one trunk" if paired else "of a method's runs"
    one, needed = "a difference of one standard deviation", seeds_needed(1.0, many, paired)
    together = f"with {many} differences looked at together" if many > 1 else "with 1 difference looked at"
    found = [f"seeds: {together}, {one} {of_what} needs {needed} seeds (power 80%, p 0.05, Holm)"]
    effect, least = detectable(seeds, many, paired), least_runs(LEVEL / many, paired)
    given = f"{seeds} seed{'s' * (seeds != 1)}"
    if effect is None:
        which = "none of them" if many > 1 else "nothing"
        found.append(
            f"{given} can settle {which}, however large it is; from {least} seeds on the largest can be settled"
        )
    else:
        find = "finds" if seeds == 1 else "find"
        found.append(f"{given} {find} a difference of {effect:.2g} such standard deviations with that power")
    return found
