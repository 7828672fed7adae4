"""Measures the true coverage of nominal 95% intervals of few runs, which `statistics.COVERAGE` and the docs show.

    python -m benchmarks.coverage [--experiments 20000] [--runs 2 3 4 5 6 7 8 9 10 20]

Each experiment draws independent normal scores, whose true mean and IQM are 0. The intervals are computed as in the
report: from all resamples up to nine runs, else from 50,000 drawn ones. This takes about three minutes on one core.
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
    """The experiments to make."""

    experiments: int = 20_000
    """Experiments with each number of runs."""
    runs: tuple[int, ...] = tuple(COVERAGE)
    """Numbers of runs."""
    seed: int = 0
    """Seed of the scores and of drawn resamples."""


def covered(n: int, options: Options) -> tuple[float, float]:
    """Return the share of experiments whose interval contains 0, for the mean and for the IQM."""
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
    """Print the measured and the recorded coverages; return 1 if they differ by more than chance allows."""
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
