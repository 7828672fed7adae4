"""Scores of one run: its curve, final score, area, steps to the threshold, and stability gaps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fire_rl import envs
from fire_rl.training import lines
from fire_rl.training.lines import AFTER, BEFORE, area_under, final_score

from .method_results import Gap, RunScores
from .phases import phases_of
from .records import AFTER_DIVERGENCE, Array, EvaluationRecord, EventRecord, Run

NOTHING = "none"  # the method that does nothing; with a regularizer its name is different


def score(run: Run, counted: bool) -> RunScores:
    """Return a run's scores except the steps to the threshold, which depends on the other runs."""
    steps, values = points(run)
    jumps = _jumps(run)
    last = dict(zip(steps.tolist(), values.tolist(), strict=True))  # of two values at one step, the later one stays
    scored = run.ended and counted and len(steps) > 0
    # A run whose last evaluations have no value has no score: earlier values do not describe its end.
    late = final_score([(each.step, each.mean, each.occasion) for each in run.evaluations], run.rhythm)
    final = late[0] if late and scored else None
    if scored and run.diverged:  # perhaps in the last tenth: evaluations before the divergence must not count
        final = float(values[-1]) if run.evaluations[-1].occasion == AFTER_DIVERGENCE else None
    area = None if final is None else area_under(*own_part(run, steps, values))
    return RunScores(
        run=run,
        steps=np.array(list(last)),
        values=np.array(list(last.values())),
        before={e.step: e.mean for e in _finite(run) if e.occasion == BEFORE and e.step in jumps},
        counted=counted and len(steps) > 0,
        final=final,
        area=area,
        normalised=_normalised(run, final),
        normalised_area=_normalised(run, area),
        gaps=tuple(gaps_of(run)),
        gap_without_event=gap_without_event(run),
        phases=phases_of(run) if scored else None,
        also=_also(run) if scored else {},
    )


def _also(run: Run) -> dict[str, float | None]:
    """Return the final values on other examples, computed as the final score is."""
    found: dict[str, float | None] = {}
    for name in dict.fromkeys(name for each in run.evaluations for name in each.also):
        values = [(each.step, each.also.get(name), each.occasion) for each in run.evaluations]
        late = final_score(values, run.rhythm)
        found[name] = values[-1][1] if run.diverged else late[0] if late else None
    return found


def _normalised(run: Run, value: float | None) -> float | None:
    return None if value is None else envs.normalised_score(run.env, value)


def in_normalised_scores(scores: RunScores) -> RunScores:
    """Return the run's scores in normalised scores; its environment must have references."""
    zero, one = (_normalised(scores.run, value) or 0.0 for value in (0.0, 1.0))
    return replace(scores, final=scores.normalised, area=scores.normalised_area, scale=(zero, one - zero))


def with_threshold(scores: RunScores, threshold: float) -> RunScores:
    """Return the scores with the step at which a finished run first reached the threshold."""
    if scores.final is None:
        return scores
    metric = scores.run.metric
    own, trunks = evaluated(scores.run)
    at = [each.step for each in own if metric.reaches(each.mean, threshold)]
    already = any(metric.reaches(each.mean, threshold) for each in trunks)
    return replace(scores, steps_to_threshold=float(at[0]) if at else np.inf, already=already)


def evaluated(run: Run) -> tuple[list[EvaluationRecord], list[EvaluationRecord]]:
    """Return a run's real evaluations, those of its own part and those of its trunk.

    Neither the values that it counts with after a divergence nor interpolated ones are among them. At the branch, an
    evaluation after an event belongs to the branch; one without an event belongs to both.
    """
    start = run.branch.step if run.branch else -1
    known = [each for each in _finite(run) if each.occasion != AFTER_DIVERGENCE]
    own = [e for e in known if e.step > start or (e.step == start and e.occasion != BEFORE)]
    return own, [e for e in known if e.step <= start and not (e.step == start and e.occasion == AFTER)]


def points(run: Run) -> tuple[Array, Array]:
    """Return the steps and values of a run's evaluations, as `fire_rl.training.lines.points` makes them."""
    return lines.points([(each.step, each.mean, each.occasion) for each in run.evaluations], run.rhythm, _jumps(run))


def _jumps(run: Run) -> set[int]:
    """Return the steps at which a run was evaluated after an event, or diverged."""
    return {each.step for each in run.evaluations if each.occasion in (AFTER, AFTER_DIVERGENCE)}


def own_part(run: Run, steps: Array, values: Array) -> tuple[Array, Array]:
    """Return the points from the branch on, with the value after an event there; from step 0 if the run is no branch.

    If no value is known at this step, the first one counts from there, so that all areas are over the same steps.
    """
    return lines.own_part(steps, values, run.branch.step if run.branch else 0)


def values_at(scores: RunScores, steps: Array) -> Array:
    """Return a run's curve at these steps; it is linear between evaluations."""
    zero, size = scores.scale
    return zero + size * np.interp(steps, *points(scores.run))


def value_before(step: int, scores: RunScores) -> float | None:
    """Return a run's score just before an event; after a divergence, the value that the run counts with."""
    zero, size = scores.scale
    gone = scores.run.diverged is not None and step >= scores.run.diverged.steps
    value = scores.before.get(step, float(scores.values[-1]) if gone else None)
    return None if value is None else zero + size * value


# Stability gaps


def gaps_of(run: Run) -> Iterator[Gap]:
    """Yield the gap of each event with an evaluation before it and another one later, before the next event.

    If a method acts again before the next evaluation, the recovery cannot be seen, so there is no gap. The beginning of
    a phase of data counts as an event for every method; its gap ends at the beginning of the next phase, or at the
    method's next event that was evaluated. After a divergence no phase begins.
    """
    evaluations, begins = _finite(run), own_boundaries(run)
    evaluated_after = {each.step for each in evaluations if each.occasion == AFTER}
    first = {each.step: place for place, each in reversed(list(enumerate(evaluations)))}
    acted = Counter(event.step for event in run.events)
    events = acted.keys() | {e.step for e in evaluations if e.occasion == BEFORE}
    for index, before in enumerate(evaluations):
        if before.occasion == AFTER_DIVERGENCE:
            break
        at_boundary = before.step in begins and first[before.step] == index
        if not at_boundary and (before.occasion != BEFORE or (run.branch and before.step < run.branch.step)):
            continue
        again = acted[before.step] > 1 and not at_boundary
        steps = begins | (evaluated_after if at_boundary else events)
        following = before.step if again else min((step for step in steps if step > before.step), default=np.inf)
        later = [  # up to the evaluation just before the next event, or the first one at the next phase's beginning
            e for place, e in enumerate(evaluations[index + 1 :], start=index + 1)
            if e.step < following
            or (e.step == following and (e.occasion == BEFORE or (following in begins and first[e.step] == place)))
        ]  # fmt: skip
        if any(each.step > before.step + run.rhythm.unit for each in later):
            gap = _gap(run, before, later, at_boundary)
            ended = np.isfinite(following) and later[-1].occasion != AFTER_DIVERGENCE
            yield replace(gap, cut=ended and not np.isfinite(gap.duration))


def gap_without_event(run: Run) -> Gap | None:
    """Return the gap at the branch of a run in which nothing is done, as if there had been an event.

    It is None if a phase of data begins there, because this is a change, too.
    """
    if run.branch is None or run.method != NOTHING or own_events(run) or run.branch.step in run.phase_starts:
        return None
    evaluations = _finite(run)
    places = [index for index, each in enumerate(evaluations) if each.step == run.branch.step]
    later = evaluations[places[-1] + 1 :] if places else []
    return _gap(run, evaluations[places[-1]], later) if later else None


def own_events(run: Run) -> list[EventRecord]:
    """Return a run's events without those of its trunk."""
    return [event for event in run.events if run.branch is None or event.step >= run.branch.step]


def own_boundaries(run: Run) -> set[int]:
    """Return the steps at which phases of data begin, without the first phase and those in the trunk."""
    start = run.branch.step if run.branch else 0
    return {step for step in run.phase_starts if start <= step < run.steps}


def _finite(run: Run) -> list[EvaluationRecord]:
    return [evaluation for evaluation in run.evaluations if np.isfinite(evaluation.mean)]


def _gap(run: Run, before: EvaluationRecord, later: Sequence[EvaluationRecord], at_boundary: bool = False) -> Gap:
    """Return the gap after the evaluation `before`.

    At the beginning of a phase, the value can only have recovered after updates on this phase, so that the rule is the
    same for all methods.
    """
    first = sum(each.step == before.step for each in later) if at_boundary else 0
    reached = (run.metric.reaches(each.mean, before.mean) for each in later[first:])
    back = next((place for place, here in enumerate(reached, start=first) if here), None)
    worst = run.metric.worst([before.mean, *(each.mean for each in later[:back])])
    depth = run.metric.sign * (before.mean - worst)
    duration = np.inf if back is None else 0.0 if at_boundary and not depth else later[back].step - before.step
    return Gap(
        step=before.step,
        depth=depth,
        share=depth / before.mean if before.mean > 0 else np.nan,
        duration=float(duration),
        observed=later[-1].step - before.step,
        area=_lost_area(run, before, later if back is None else later[: back + 1]),
    )


def _lost_area(run: Run, before: EvaluationRecord, later: Sequence[EvaluationRecord]) -> float:
    """Return the area between the value before and the curve where it is worse; the curve is linear between points."""
    steps = np.array([before.step, *(each.step for each in later)], dtype=float)
    losses = run.metric.sign * np.array([0.0, *(before.mean - each.mean for each in later)])
    first, second = losses[:-1], losses[1:]
    worse = np.maximum(first, 0.0), np.maximum(second, 0.0)
    # Where a segment crosses zero, a triangle is left, over a share of its length.
    crosses = first * second < 0
    share = np.where(crosses, np.maximum(*worse) / np.where(crosses, np.abs(first - second), 1.0), 1.0)
    return float((np.diff(steps) * share * (worse[0] + worse[1]) / 2).sum())
