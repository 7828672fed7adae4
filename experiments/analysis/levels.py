"""The values that runs are held against: the threshold, and what a run that diverged counts with."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fire_rl import envs
from fire_rl.training.metric import Metric

from .records import Run
from .results import Level, RunScores
from .scoring import evaluated
from .statistics import interquartile_mean

SHARE = 0.9  # of the best other method


def failing_value(env: str, runs: Sequence[Run], metric: Metric) -> Level | None:
    """The value of what fails; None where none of the runs diverged, or nothing is known of any value."""
    if not any(run.diverged for run in runs):
        return None
    if known := envs.references(env):
        return Level(known.random, "a random policy's, as published")
    means = [evaluation.mean for run in runs for evaluation in run.evaluations if math.isfinite(evaluation.mean)]
    worst = "lowest" if metric.better == "higher" else "highest"
    return Level(metric.worst(means), f"the {worst} that any of these runs was evaluated at") if means else None


def threshold_of(
    env: str, runs: Mapping[str, Sequence[RunScores]], baseline: str, reference: str | None, metric: Metric,
    given: float | str | None,
) -> Level | None:  # fmt: skip
    """What was given, or what the baseline comes to; else the success bar where some run reached it, else what the best
    but the reference comes to."""
    references = envs.references(env)
    bar = f"a human's score in {env}" if envs.is_atari(env) else f"the success bar of {env}"
    if isinstance(given, float | int):
        return Level(float(given), "as given")
    if given == "success" and references is None:
        raise ValueError(f"threshold success given; {env} has no success bar: give a {metric.name} instead")
    finished = {name: own for name, group in runs.items() if (own := [run for run in group if run.final is not None])}
    if given == "baseline":
        if baseline not in finished:
            return None
        level = float(interquartile_mean([np.array([run.final for run in finished[baseline]], dtype=float)]))
        return Level(level, f"what {baseline} comes to: the IQM of the final {metric.plural} of its runs")
    best = [each.mean for own in finished.values() for run in own for each in evaluated(run.run)[0]]
    if references is not None and (
        given == "success" or any(metric.reaches(each, references.success) for each in best)
    ):
        return Level(references.success, bar)
    if not finished:
        return None
    means = {name: float(np.mean([run.final for run in own])) for name, own in finished.items()}
    baselines = {name: value for name, value in means.items() if name != reference} or means
    name = max(baselines, key=lambda name: metric.sign * baselines[name])
    return _of_the_best(name, baselines[name], references.random if references else 0.0, metric)


def _of_the_best(name: str, mean: float, start: float, metric: Metric) -> Level:
    """A share of the way from `start` to a method's mean, or the mean where no share of it is a lower bar."""
    what = f"the best other method's mean final {metric.name}"
    if metric.better == "lower":
        return Level(mean, f"{what} ({name}: {said(mean, metric)}), which is taken whole, as lower is better")
    if mean <= start:  # a share of it would be above it
        return Level(mean, f"{what} ({name})")
    above = "" if start == 0 else f" above a random policy's {start:.4g}"
    return Level(start + SHARE * (mean - start), f"{SHARE:.0%} of {what}{above} ({name}: {said(mean, metric)})")


def said(value: float, metric: Metric) -> str:
    """A value in a sentence, in four digits, or as many as the metric has."""
    return f"{metric.scale * value:.{max(4, 1 + metric.decimals)}g}{metric.suffix}"
