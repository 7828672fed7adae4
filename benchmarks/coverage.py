"""How often nominal 95% intervals of few runs hold the truth: the figures of `statistics.COVERAGE` and the docs.

    python -m benchmarks.coverage [--experiments 20000] [--runs 2 3 4 5 6 7 8 9 10 20]

Each experiment is so many independent normal scores, whose mean and IQM are truly 0. Intervals are the report's own:
of all resamples up to nine runs, else of 50,000. Takes about three minutes on one core.
"""

import math
from dataclasses import dataclass

import numpy as np
import tyro

from fire_rl.experiments.analysis.resampling import RESAMPLES, draw_runs
from fire_rl.experiments.analysis.statistics import COVERAGE, estimate_band, interquartile_mean, mean

PART = 1_000  # experiments at a time


@dataclass(frozen=True)
class Options:
    experiments: int = 20_000
    """Experiments with each number of runs."""
    runs: tuple[int, ...] = tuple(COVERAGE)
    """Numbers of runs."""
    seed: int = 0
    """Of the scores, and of resamples where they are drawn."""


def covered(n: int, options: Options) -> tuple[float, float]:
    """The share of experiments whose interval holds 0: of the mean, and of the IQM."""
    generator = np.random.default_rng([options.seed, n])
    draws = draw_runs([n], RESAMPLES, (options.seed, n))
    held = np.zeros(2)
    for first in range(0, options.experiments, PART):
        scores = generator.normal(size=(min(PART, options.experiments - first), n))
        for place, statistic in enumerate((mean, interquartile_mean)):
            band = estimate_band([scores], statistic, draws)
            held[place] += ((band.low <= 0) & (band.high >= 0)).sum()
    return held[0] / options.experiments, held[1] / options.experiments


def main(options: Options) -> int:
    """Print both beside what is recorded; exit code 1 where they are further apart than chance allows."""
    wrong = 0
    for n in options.runs:
        found = covered(n, options)
        recorded = COVERAGE.get(n, found)
        allowed = 0.005 + 3.5 * math.sqrt(0.25 / options.experiments)
        wrong += max(abs(one - other) for one, other in zip(found, recorded, strict=True)) > allowed
        how = "all resamples" if draw_runs([n], RESAMPLES, (0,)).exact else f"{RESAMPLES:,} resamples"
        print(
            f"{n:3} runs, {how}: mean {found[0]:.1%}, IQM {found[1]:.1%}; "
            f"recorded {recorded[0]:.0%} and {recorded[1]:.0%}",
            flush=True,
        )
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
