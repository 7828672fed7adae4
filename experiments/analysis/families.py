"""Corrections for looking at several differences at once.

If two methods do not differ, a 95% interval of their difference excludes 0 by chance in one of twenty cases, and more
often with few runs. Among several intervals, one that does is easy to find. The probability of this is simulated here
for the comparison at hand. The p values are corrected by Holm's method (1979), which needs no assumption about how the
differences depend on each other: the probability of any false positive stays at most 5%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from .permutations import ways
from .resampling import Array, Draws, bounds, draw_runs
from .statistics import SETTLING_RUNS, Sides, interquartile_mean

SETTLED = 0.05  # a difference is settled up to this corrected p value
EXPERIMENTS = (200, 2_000)  # smallest and largest number of simulated experiments; the more methods, the fewer
NUMBERS = 6_000_000  # numbers that a simulation resamples in all, which takes less than a second
FEW_RESAMPLES = 199  # drawn in each experiment if there are more; with 199, 2.5% of the resamples are 5 of 200
OF_TRUNKS = 0.5  # share of the trunks in the variance of simulated branches

Pair: TypeAlias = tuple[str, str, bool, Sides]  # method, against, whether paired, numbers of runs of both


@dataclass(frozen=True)
class Family:
    """The differences of one comparison, taken together."""

    size: int
    chance: float  # probability that any of the single intervals excludes 0 if no method differs from another
    experiments: int  # number of simulated experiments from which `chance` was computed
    smallest_p: float  # the smallest p value that any of the tests can have, before the correction
    needed: int  # fewest pairs, or runs of each method, per environment with which a difference can be settled
    paired: bool  # whether all differences are paired
    environments: int


def family_of(pairs: Sequence[Pair], confidence: float) -> Family | None:
    """Return the facts about a family of differences; None if no difference has an interval."""
    known = tuple(pair for pair in pairs if min(min(side) for side in pair[3]) > 1)
    if not known:
        return None
    paired = all(pair[2] for pair in known)
    chance, experiments = chance_of_any(known, confidence)
    smallest = min(2 / math.prod(ways(n, m, pair[2]) for n, m in zip(*pair[3], strict=True)) for pair in known)
    environments = len(known[0][3][0])
    needed = least_runs(SETTLED / len(pairs), paired, environments)
    return Family(len(pairs), chance, experiments, min(1.0, smallest), needed, paired, environments)


def least_runs(level: float, paired: bool, environments: int = 1) -> int:
    """Return the fewest pairs (or runs of each method) per environment with which a test's p value can be this small.

    The number is at least SETTLING_RUNS, because fewer runs settle nothing here.
    """
    n = SETTLING_RUNS
    while 2 / ways(n, n, paired) ** environments > level:
        n += 1
    return n


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's method.

    The smallest of n p values is multiplied by n, the next one by n - 1, and so on; none becomes smaller than the one
    before it.
    """
    found, reached = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = reached
    return found


@lru_cache(maxsize=64)
def chance_of_any(pairs: tuple[Pair, ...], confidence: float) -> tuple[float, int]:
    """Simulate how often any interval of the final IQMs' differences excludes 0 although no method differs.

    Return the share and the number of experiments. Scores are normally distributed; if all differences are paired, half
    of the scores' variance comes from the trunks.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair[:2]))
    sides = [side for pair in pairs for side in pair[3]]
    most = [max(side[place] for side in sides) for place in range(len(sides[0]))]
    experiments = int(np.clip(NUMBERS // (len(names) * FEW_RESAMPLES * sum(most)), *EXPERIMENTS))
    generator = np.random.default_rng(0)
    of_trunks = OF_TRUNKS if all(paired for _, _, paired, _ in pairs) else 0.0
    own, shared = math.sqrt(1 - of_trunks), math.sqrt(of_trunks)
    scores = [
        own * generator.normal(size=(experiments, len(names), n)) + shared * generator.normal(size=(experiments, 1, n))
        for n in most
    ]

    @lru_cache
    def resampled(name: str, sizes: tuple[int, ...], jointly: bool) -> tuple[Array, Array | None]:
        place = names.index(name)
        draws = _few_draws(sizes, 0 if jointly else 1 + place, jointly)
        runs = [of_all[:, place, :n] for of_all, n in zip(scores, sizes, strict=True)]
        return interquartile_mean([own[:, taken] for own, taken in zip(runs, draws.taken, strict=True)]), draws.weights

    any_of_them = np.zeros(experiments, dtype=bool)
    for method, against, paired, (left, right) in pairs:
        (ours, weights), (theirs, _) = resampled(method, left, paired), resampled(against, right, paired)
        low, high = bounds(ours - theirs, weights, confidence)
        any_of_them |= (low > 0) | (high < 0)
    return float(any_of_them.mean()), experiments


def _few_draws(sizes: tuple[int, ...], seed: int, exactly: bool) -> Draws:
    """Return all resamples if they are few, else only FEW_RESAMPLES, because there are many experiments."""
    few = math.prod(math.comb(2 * size - 1, size) for size in sizes) <= FEW_RESAMPLES
    return draw_runs(sizes, FEW_RESAMPLES, (seed,), exactly and few)
