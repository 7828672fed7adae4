"""What one run is worth: its curve, its final score, the area, when it reached the threshold, what events cost it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import envs

from .records import Array, Run
from .results import Gap, RunScores
from .statistics import area_under, last_tenth


def score(run: Run, counted: bool) -> RunScores:
    """Everything but the threshold, which depends on the other runs."""
    steps, returns = points(run)
    last = dict(zip(steps.tolist(), returns.tolist(), strict=True))  # of each step, as the later one stays
    scored = run.finished and counted and len(steps) > 0
    final = last_tenth(steps, returns) if scored else None
    area = area_under(*own_part(run, steps, returns)) if scored else None
    return RunScores(
        run=run,
        steps=np.array(list(last)),
        returns=np.array(list(last.values())),
        before={e.step: e.mean for e in run.evaluations if e.occasion == "before event"},
        counted=counted and len(steps) > 0,
        final=final,
        area=area,
        normalised=None if final is None else envs.normalised_score(run.env, final),
        normalised_area=None if area is None else envs.normalised_score(run.env, area),
        steps_to_threshold=None,
        reached=None,
        gaps=tuple(_gaps(run)),
    )


def with_threshold(scores: RunScores, threshold: float) -> RunScores:
    """When a finished run's return was first at the threshold."""
    if scores.final is None:
        return scores
    steps, returns = own_part(scores.run, *points(scores.run))
    at = steps[returns >= threshold]
    return replace(scores, steps_to_threshold=float(at[0]) if len(at) else np.inf, reached=len(at) > 0)


def points(run: Run) -> tuple[Array, Array]:
    """Steps and returns of all evaluations; two at one step, before and after an event, are a jump."""
    found = [(evaluation.step, evaluation.mean) for evaluation in run.evaluations if np.isfinite(evaluation.mean)]
    steps, returns = np.array(found, dtype=float).reshape(-1, 2).T
    return steps, returns


def own_part(run: Run, steps: Array, returns: Array) -> tuple[Array, Array]:
    """From the branch on, with what the event there left; of a run that is no branch, from the start."""
    start = run.branch.step if run.branch else 0
    later = steps > start
    first = float(np.interp(start, steps, returns))  # at a jump, the point after it
    return np.append(float(start), steps[later]), np.append(first, returns[later])


def _gaps(run: Run) -> Iterator[Gap]:
    """Of each event with evaluations before and after it."""
    start = run.branch.step if run.branch else 0
    evaluations = [evaluation for evaluation in run.evaluations if np.isfinite(evaluation.mean)]
    for index, evaluation in enumerate(evaluations):
        following = evaluations[index + 1 :]
        if evaluation.occasion != "before event" or evaluation.step < start or not following:
            continue
        before, step = evaluation.mean, evaluation.step
        back = next((place for place, later in enumerate(following) if later.mean >= before), None)
        lowest = min((later.mean for later in following[:back]), default=before)
        yield Gap(
            step=step,
            depth=before - lowest,
            share=(before - lowest) / before if before > 0 else np.nan,
            duration=np.inf if back is None else float(following[back].step - step),
            observed=following[-1].step - step,
        )
