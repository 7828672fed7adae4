"""What one run is worth: its curve, its final score, the area, when it reached the threshold, what events cost it."""

from dataclasses import replace

import numpy as np

import envs

from .gaps import gaps_of, pretended_gap
from .records import AFTER_DIVERGENCE, Array, Run
from .results import RunScores
from .statistics import area_under, last_tenth

AFTER = "after event"


def score(run: Run, counted: bool) -> RunScores:
    """Everything but the threshold, which depends on the other runs."""
    steps, returns = points(run)
    last = dict(zip(steps.tolist(), returns.tolist(), strict=True))  # of each step, as the later one stays
    scored = run.ended and counted and len(steps) > 0
    # A run whose returns stopped being numbers has no score: those before would tell of another moment.
    final = last_tenth(steps, returns, run.evaluations[-1].step) if scored else None
    if scored and run.diverged:  # in the last tenth, perhaps: what was there before is not what it ended with
        final = float(returns[-1]) if run.evaluations[-1].occasion == AFTER_DIVERGENCE else None
    area = None if final is None else area_under(*own_part(run, steps, returns))
    return RunScores(
        run=run,
        steps=np.array(list(last)),
        returns=np.array(list(last.values())),
        before={e.step: e.mean for e in run.evaluations if e.occasion == "before event" and np.isfinite(e.mean)},
        counted=counted and len(steps) > 0,
        final=final,
        area=area,
        normalised=None if final is None else envs.normalised_score(run.env, final),
        normalised_area=None if area is None else envs.normalised_score(run.env, area),
        steps_to_threshold=None,
        reached=None,
        gaps=tuple(gaps_of(run)),
        pretended=pretended_gap(run),
    )


def with_threshold(scores: RunScores, threshold: float) -> RunScores:
    """When a finished run's return was first at the threshold."""
    if scores.final is None:
        return scores
    steps, returns = own_part(scores.run, *points(scores.run))
    at = steps[returns >= threshold]
    start = scores.run.branch.step if scores.run.branch else -1
    trunks = [e for e in scores.run.evaluations if e.step <= start and not (e.step == start and e.occasion == AFTER)]
    return replace(
        scores,
        steps_to_threshold=float(at[0]) if len(at) else np.inf,
        reached=len(at) > 0,
        already=any(evaluation.mean >= threshold for evaluation in trunks),
    )


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
