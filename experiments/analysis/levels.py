"""The threshold of a comparison, and the value that a run counts with after it diverged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fire_rl import envs
from fire_rl.training.metric import Metric

from .method_results import RunScores
from .phases import ends_of
from .records import AFTER_DIVERGENCE, EvaluationRecord, Run
from .results import Level
from .scoring import evaluated
from .statistics import interquartile_mean

SHARE = 0.9  # of the best other method's mean, for the threshold


def failing_value(env: str, runs: Sequence[Run], metric: Metric) -> Level | None:
    """Return the value that runs count with after they diverged; None if no run diverged, or no value is known."""
    if not any(run.diverged for run in runs):
        return None
    if known := envs.references(env):
        return Level(known.random, "the published one of a random policy")
    means = [evaluation.mean for run in runs for evaluation in run.evaluations if math.isfinite(evaluation.mean)]
    worst = "lowest" if metric.better == "higher" else "highest"
    return Level(metric.worst(means), f"the {worst} one in any evaluation of these runs") if means else None


def continued(runs: Sequence[Run], failing: Level | None) -> list[Run]:
    """Return the runs; those that diverged have the failing value from the divergence to their planned end.

    They have it wherever runs of equal length were evaluated, and at the ends of phases. To leave them out would favour
    methods that diverge often, because only their lucky runs would remain.
    """
    if failing is None:
        return list(runs)
    return [
        _continued(run, failing.value, [other for other in runs if other.steps == run.steps and not other.diverged])
        for run in runs
    ]


def _continued(run: Run, failing: float, others: Sequence[Run]) -> Run:
    if run.diverged is None:
        return run
    place = run.diverged.steps
    steps = {place} | {each.step for other in others for each in other.evaluations if each.step >= place}
    steps |= {end for end in ends_of(run) if end >= place}
    if max(steps) < run.steps:
        steps.add(run.steps)
    before = [evaluation for evaluation in run.evaluations if evaluation.step <= place]
    of_phases = (failing,) * max((len(each.by_phase) for each in before), default=0)
    also = dict.fromkeys((name for each in before for name in each.also), failing)
    after = [EvaluationRecord(step, failing, AFTER_DIVERGENCE, of_phases, also) for step in sorted(steps)]
    return replace(run, evaluations=(*before, *after))


def threshold_of(
    env: str, runs: Mapping[str, Sequence[RunScores]], baseline: str, reference: str | None, metric: Metric,
    given: float | str | None,
) -> Level | None:  # fmt: skip
    """Return the threshold.

    It is the given value, or with "baseline" the IQM of the baseline's final scores. If none is given, it is the
    success bar if some run reached it, else a share of the mean final score of the best method except the reference.
    """
    references = envs.references(env)
    bar = f"a human's score in {env}" if envs.is_atari(env) else f"the success bar of {env}"
    if isinstance(given, float | int):
        return Level(float(given), "as given")
    if given == "success" and references is None:
        raise ValueError(f"threshold success given, but {env} has no success bar: give a {metric.name} instead")
    finished = {name: own for name, group in runs.items() if (own := [run for run in group if run.final is not None])}
    if given == "baseline":
        if baseline not in finished:
            return None
        level = float(interquartile_mean([np.array([run.final for run in finished[baseline]], dtype=float)]))
        return Level(level, f"the IQM of the final {metric.plural} of {baseline}")
    best = [each.mean for own in finished.values() for run in own for each in evaluated(run.run)[0]]
    if references and (given == "success" or any(metric.reaches(each, references.success) for each in best)):
        return Level(references.success, bar)
    if not finished:
        return None
    means = {name: float(np.mean([run.final for run in own])) for name, own in finished.items()}
    baselines = {name: value for name, value in means.items() if name != reference} or means
    name = max(baselines, key=lambda name: metric.sign * baselines[name])
    return _of_the_best(name, baselines[name], references.random if references else 0.0, metric)


def _of_the_best(name: str, mean: float, start: float, metric: Metric) -> Level:
    """Return the level at SHARE of the way from `start` to a method's mean, or the mean if the level is not easier."""
    what = f"the best other method's mean final {metric.name}"
    if metric.better == "lower":
        return Level(mean, f"{what} ({name}: {said(mean, metric)}); not a share of it, as lower is better")
    if mean <= start:  # the level at the share would be above the mean
        return Level(mean, f"{what} ({name})")
    above = "" if start == 0 else f" above a random policy's {start:.4g}"
    return Level(start + SHARE * (mean - start), f"{SHARE:.0%} of {what}{above} ({name}: {said(mean, metric)})")


def said(value: float, metric: Metric) -> str:
    """Return a value as text for a sentence: with four digits, or more if the metric asks for them."""
    return f"{metric.scale * value:.{max(4, 1 + metric.decimals)}g}{metric.suffix}"
