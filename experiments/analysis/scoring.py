"""What one run is worth: its curve, its final score, the area, when it reached the threshold, what events cost it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fire_rl import envs
from fire_rl.training import lines
from fire_rl.training.lines import AFTER, BEFORE, area_under, final_score

from .phases import phases_of
from .records import AFTER_DIVERGENCE, Array, EvaluationRecord, EventRecord, Run
from .results import Gap, RunScores

NOTHING = "none"  # the method that does nothing; with a regularizer it has another name


def score(run: Run, counted: bool) -> RunScores:
    """Everything but the threshold, which depends on the other runs."""
    steps, values = points(run)
    jumps = _jumps(run)
    last = dict(zip(steps.tolist(), values.tolist(), strict=True))  # of each step, as the later one stays
    scored = run.ended and counted and len(steps) > 0
    # A run whose values stopped being numbers has no score: those before would tell of another moment.
    late = final_score([(each.step, each.mean, each.occasion) for each in run.evaluations], run.rhythm)
    final = late[0] if late and scored else None
    if scored and run.diverged:  # in the last tenth, perhaps: what was there before is not what it ended with
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
        pretended=pretended_gap(run),
        phases=phases_of(run) if scored else None,
        also=_also(run) if scored else {},
    )


def _also(run: Run) -> dict[str, float | None]:
    """Final values on other examples, made as the final score is."""
    found: dict[str, float | None] = {}
    for name in dict.fromkeys(name for each in run.evaluations for name in each.also):
        values = [(each.step, each.also.get(name), each.occasion) for each in run.evaluations]
        late = final_score(values, run.rhythm)
        found[name] = values[-1][1] if run.diverged else late[0] if late else None
    return found


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
    own, trunks = evaluated(scores.run)
    at = [each.step for each in own if metric.reaches(each.mean, threshold)]
    already = any(metric.reaches(each.mean, threshold) for each in trunks)
    return replace(scores, steps_to_threshold=float(at[0]) if at else np.inf, already=already)


def evaluated(run: Run) -> tuple[list[EvaluationRecord], list[EvaluationRecord]]:
    """What a run was evaluated at, its own part and its trunk's; neither what it counts with, nor what is in between.

    At the branch what an event left is the branch's own. Where nothing was done, what is evaluated there is both.
    """
    start = run.branch.step if run.branch else -1
    known = [each for each in _finite(run) if each.occasion != AFTER_DIVERGENCE]
    own = [e for e in known if e.step > start or (e.step == start and e.occasion != BEFORE)]
    return own, [e for e in known if e.step <= start and not (e.step == start and e.occasion == AFTER)]


def points(run: Run) -> tuple[Array, Array]:
    """Steps and values of a run's evaluations, as `fire_rl.training.lines.points` has them."""
    return lines.points([(each.step, each.mean, each.occasion) for each in run.evaluations], run.rhythm, _jumps(run))


def _jumps(run: Run) -> set[int]:
    """Steps at which a run was evaluated after an event, or ended at once."""
    return {each.step for each in run.evaluations if each.occasion in (AFTER, AFTER_DIVERGENCE)}


def own_part(run: Run, steps: Array, values: Array) -> tuple[Array, Array]:
    """From the branch on, with what the event there left; of a run that is no branch, from the start."""
    return lines.own_part(steps, values, run.branch.step if run.branch else 0)


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
    """Of each event that was looked at before, and again later, before the next one.

    Where a method acts again before the next evaluation, what would have come back is not known: that is no gap. Where
    a phase of data begins is an event too, whatever the method does there; its gap ends at the next such place, or
    where the method's next event was looked at.
    """
    evaluations, begins, jumps = _finite(run), own_boundaries(run), _jumps(run)
    first = {each.step: place for place, each in reversed(list(enumerate(evaluations)))}
    acted = Counter(event.step for event in run.events)
    events = acted.keys() | {e.step for e in evaluations if e.occasion == BEFORE}
    for index, before in enumerate(evaluations):
        at_boundary = before.step in begins and first[before.step] == index
        if not at_boundary and (before.occasion != BEFORE or (run.branch and before.step < run.branch.step)):
            continue
        again = acted[before.step] > 1 and not at_boundary
        steps = begins | (jumps if at_boundary else events)
        following = before.step if again else min((step for step in steps if step > before.step), default=np.inf)
        later = [
            e for place, e in enumerate(evaluations[index + 1 :], start=index + 1)
            if e.step < following or _ends(e, following) or (e.step == following in begins and first[e.step] == place)
        ]  # fmt: skip
        if any(each.step > before.step + run.rhythm.unit for each in later):
            gap = _gap(run, before, later, at_boundary)
            yield replace(gap, cut=not np.isfinite(gap.duration) and np.isfinite(following))


def pretended_gap(run: Run) -> Gap | None:
    """Of the evaluation at the branch of a run in which nothing is done, as if something had been done there.

    Not where a phase of data begins, which is more than nothing.
    """
    if run.branch is None or run.method != NOTHING or own_events(run) or run.branch.step in run.phase_starts:
        return None
    evaluations = _finite(run)
    places = [index for index, each in enumerate(evaluations) if each.step == run.branch.step]
    later = evaluations[places[-1] + 1 :] if places else []
    return _gap(run, evaluations[places[-1]], later) if later else None


def own_events(run: Run) -> list[EventRecord]:
    """Those of the branch itself, where it is one."""
    return [event for event in run.events if run.branch is None or event.step >= run.branch.step]


def own_boundaries(run: Run) -> set[int]:
    """The steps at which phases of data but the first begin, of a branch its own."""
    start = run.branch.step if run.branch else 0
    return {step for step in run.phase_starts if start <= step < run.steps}


def _finite(run: Run) -> list[EvaluationRecord]:
    return [evaluation for evaluation in run.evaluations if np.isfinite(evaluation.mean)]


def _ends(evaluation: EvaluationRecord, following: float) -> bool:
    """Whether it is the last look before the next event."""
    return evaluation.step == following and evaluation.occasion == BEFORE


def _gap(run: Run, before: EvaluationRecord, later: Sequence[EvaluationRecord], at_boundary: bool = False) -> Gap:
    """Where a phase begins, only what is seen after some updates on it can have come back, of every method alike."""
    first = sum(each.step == before.step for each in later) if at_boundary else 0
    reached = (run.metric.reaches(each.mean, before.mean) for each in later[first:])
    back = next((place for place, here in enumerate(reached, start=first) if here), None)
    worst = run.metric.worst([before.mean, *(each.mean for each in later[:back])])
    depth = run.metric.sign * (before.mean - worst)
    return Gap(
        step=before.step,
        depth=depth,
        share=depth / before.mean if before.mean > 0 else np.nan,
        duration=np.inf
        if back is None
        else 0.0
        if at_boundary and not depth
        else float(later[back].step - before.step),
        observed=later[-1].step - before.step,
    )
