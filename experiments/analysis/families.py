"""Several differences looked at together: what chance alone shows among them, and what stands when that is allowed for.

An interval of nominal 95% leaves out 0 by chance in one of twenty cases where two methods are alike, and more often
with few runs. Of several such intervals it is easy to find one. Here that chance is simulated for the comparison at
hand; and p values are corrected as in Holm (1979), who needs no assumption on how the differences hang together: the
probability that any difference is called one, though it is none, stays at most 5%.
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

SETTLED = 0.05  # p value, corrected, up to which a difference is called one
EXPERIMENTS = (200, 2_000)  # that are simulated: fewer of many methods
NUMBERS = 6_000_000  # that a simulation resamples in all: under a second
FEW_RESAMPLES = 199  # of each experiment, where there are more than as many to look at; 5 of 200 are 2.5%
OF_TRUNKS = 0.5  # of the variance of simulated branches

Pair: TypeAlias = tuple[str, str, bool, Sides]  # method, against, whether paired, runs of both in each environment


@dataclass(frozen=True)
class Family:
    """The differences of one comparison, as they are looked at together."""

    size: int
    chance: float  # that one or more of their single intervals leave out 0 if no method differs from another
    experiments: int  # in which that was simulated
    smallest_p: float  # that any of their tests can have, before the correction
    needed: int  # pairs, or runs of each method, in each environment, from which on one of so many can be settled
    paired: bool  # all of them
    environments: int


def family_of(pairs: Sequence[Pair], confidence: float) -> Family | None:
    """None where there is nothing that an interval can be made of."""
    known = tuple(pair for pair in pairs if min(min(side) for side in pair[3]) > 1)
    if not known:
        return None
    paired = all(pair[2] for pair in known)
    chance, experiments = chance_of_any(known, confidence)
    smallest = min(
        2 / math.prod(ways(n, others, pair[2]) for n, others in zip(*pair[3], strict=True)) for pair in known
    )
    environments = len(known[0][3][0])
    needed = least_runs(SETTLED / len(pairs), paired, environments)
    return Family(len(pairs), chance, experiments, min(1.0, smallest), needed, paired, environments)


def least_runs(level: float, paired: bool, environments: int = 1) -> int:
    """Pairs, or runs of each of two methods, in each environment, with which a test can have a p value of this level.

    Fewer than SETTLING_RUNS settle nothing, whatever their test says.
    """
    n = SETTLING_RUNS
    while 2 / ways(n, n, paired) ** environments > level:
        n += 1
    return n


def holm(ps: Sequence[float]) -> list[float]:
    """Corrected p values: the smallest times how many there are, the next times one less, none below one before it."""
    found, reached = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = reached
    return found


@lru_cache(maxsize=64)
def chance_of_any(pairs: tuple[Pair, ...], confidence: float) -> tuple[float, int]:
    """How often one or more intervals of final IQMs leave out 0 where no method differs; of how many experiments.

    Scores are normal; where all runs are branches, half of their variance is their trunks'.
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
    """All resamples where these are few: there are thousands of experiments."""
    few = math.prod(math.comb(2 * size - 1, size) for size in sizes) <= FEW_RESAMPLES
    return draw_runs(sizes, FEW_RESAMPLES, (seed,), exactly and few)
