"""What one run is worth: its curve, its final score, the area, when it reached the threshold, what events cost it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

import envs
from training.lines import final_score

from .records import AFTER_DIVERGENCE, Array, EvaluationRecord, EventRecord, Run
from .results import Gap, RunScores
from .statistics import area_under

AFTER = "after event"


def score(run: Run, counted: bool) -> RunScores:
    """Everything but the threshold, which depends on the other runs."""
    steps, values = points(run)
    last = dict(zip(steps.tolist(), values.tolist(), strict=True))  # of each step, as the later one stays
    scored = run.ended and counted and len(steps) > 0
    # A run whose values stopped being numbers has no score: those before would tell of another moment.
    late = final_score([each.step for each in run.evaluations], [each.mean for each in run.evaluations])
    final = late[0] if late and scored else None
    if scored and run.diverged:  # in the last tenth, perhaps: what was there before is not what it ended with
        final = float(values[-1]) if run.evaluations[-1].occasion == AFTER_DIVERGENCE else None
    area = None if final is None else area_under(*own_part(run, steps, values))
    return RunScores(
        run=run,
        steps=np.array(list(last)),
        values=np.array(list(last.values())),
        before={e.step: e.mean for e in run.evaluations if e.occasion == "before event" and np.isfinite(e.mean)},
        counted=counted and len(steps) > 0,
        final=final,
        area=area,
        normalised=_normalised(run, final),
        normalised_area=_normalised(run, area),
        gaps=tuple(gaps_of(run)),
        pretended=pretended_gap(run),
    )


def _normalised(run: Run, value: float | None) -> float | None:
    return None if value is None else envs.normalised_score(run.env, value)


def in_normalised_scores(scores: RunScores) -> RunScores:
    """The same run, where the scores of several environments are compared; they have references."""
    zero, one = (_normalised(scores.run, value) or 0.0 for value in (0.0, 1.0))
    return replace(scores, final=scores.normalised, area=scores.normalised_area, scale=(zero, one - zero))


def with_threshold(scores: RunScores, threshold: float) -> RunScores:
    """When a finished run's value was first at the threshold, or better."""
    if scores.final is None:
        return scores
    metric = scores.run.metric
    steps, values = own_part(scores.run, *points(scores.run))
    at = steps[metric.sign * values >= metric.sign * threshold]
    start = scores.run.branch.step if scores.run.branch else -1
    trunks = [e for e in scores.run.evaluations if e.step <= start and not (e.step == start and e.occasion == AFTER)]
    already = any(metric.reaches(evaluation.mean, threshold) for evaluation in trunks)
    return replace(scores, steps_to_threshold=float(at[0]) if len(at) else np.inf, already=already)


def points(run: Run) -> tuple[Array, Array]:
    """Steps and values of all evaluations; two at one step, before and after an event, are a jump."""
    found = [(evaluation.step, evaluation.mean) for evaluation in run.evaluations if np.isfinite(evaluation.mean)]
    steps, values = np.array(found, dtype=float).reshape(-1, 2).T
    return steps, values


def own_part(run: Run, steps: Array, values: Array) -> tuple[Array, Array]:
    """From the branch on, with what the event there left; of a run that is no branch, from the start."""
    start = run.branch.step if run.branch else 0
    later = steps > start
    first = float(np.interp(start, steps, values))  # at a jump, the point after it
    return np.append(float(start), steps[later]), np.append(first, values[later])


def values_at(scores: RunScores, steps: Array) -> Array:
    """A run's curve at some steps; between evaluations it is a straight line."""
    zero, size = scores.scale
    return zero + size * np.interp(steps, *points(scores.run))


def value_before(step: int, scores: RunScores) -> float | None:
    """What a run was just before an event; one that had diverged by then has had none, and counts as it does."""
    zero, size = scores.scale
    gone = scores.run.diverged is not None and step >= scores.run.diverged.steps
    value = scores.before.get(step, float(scores.values[-1]) if gone else None)
    return None if value is None else zero + size * value


# Stability gaps


def gaps_of(run: Run) -> Iterator[Gap]:
    """Of each event with evaluations before and after it."""
    evaluations = _finite(run)
    steps = {event.step for event in run.events} | {e.step for e in evaluations if e.occasion == "before event"}
    for index, before in enumerate(evaluations):
        if before.occasion != "before event" or (run.branch is not None and before.step < run.branch.step):
            continue
        following = min((step for step in steps if step > before.step), default=np.inf)
        later = [e for e in evaluations[index + 1 :] if e.step < following or _ends(e, following)]
        if later:
            yield replace(gap := _gap(run, before, later), cut=not np.isfinite(gap.duration) and np.isfinite(following))


def pretended_gap(run: Run) -> Gap | None:
    """Of the evaluation at the branch of a run without events, as if something had been done there."""
    if run.branch is None or own_events(run):
        return None
    evaluations = _finite(run)
    places = [index for index, each in enumerate(evaluations) if each.step == run.branch.step]
    later = evaluations[places[-1] + 1 :] if places else []
    return _gap(run, evaluations[places[-1]], later) if later else None


def own_events(run: Run) -> list[EventRecord]:
    """Those of the branch itself, where it is one."""
    return [event for event in run.events if run.branch is None or event.step >= run.branch.step]


def _finite(run: Run) -> list[EvaluationRecord]:
    return [evaluation for evaluation in run.evaluations if np.isfinite(evaluation.mean)]


def _ends(evaluation: EvaluationRecord, following: float) -> bool:
    """Whether it is the last look before the next event."""
    return evaluation.step == following and evaluation.occasion == "before event"


def _gap(run: Run, before: EvaluationRecord, later: Sequence[EvaluationRecord]) -> Gap:
    back = next((place for place, each in enumerate(later) if run.metric.reaches(each.mean, before.mean)), None)
    worst = run.metric.worst([before.mean, *(each.mean for each in later[:back])])
    depth = run.metric.sign * (before.mean - worst)
    return Gap(
        step=before.step,
        depth=depth,
        share=depth / before.mean if before.mean > 0 else np.nan,
        duration=np.inf if back is None else float(later[back].step - before.step),
        observed=later[-1].step - before.step,
    )
