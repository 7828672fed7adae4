"""Runs that diverged: from there to their planned ends they count with the return of a policy that fails.

To leave them out would favour methods that often diverge: what is left of them are their lucky runs.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import envs

from .records import AFTER_DIVERGENCE, EvaluationRecord, Run
from .results import Failing


def failing_return(env: str, runs: Sequence[Run]) -> Failing | None:
    """What a policy that fails earns; None where none of the runs diverged, or nothing is known of any return."""
    if not any(run.diverged for run in runs):
        return None
    if known := envs.references(env):
        return Failing(known.random, "a random policy's, as published")
    means = [evaluation.mean for run in runs for evaluation in run.evaluations if math.isfinite(evaluation.mean)]
    return Failing(min(means), "the lowest that any of these runs was evaluated at") if means else None


def continued(runs: Sequence[Run], failing: Failing | None) -> list[Run]:
    """The runs, those that diverged with the failing return wherever others as long as they were evaluated."""
    return [
        _continued(run, failing, [other for other in runs if other.steps == run.steps and not other.diverged])
        for run in runs
    ]


def _continued(run: Run, failing: Failing | None, others: Sequence[Run]) -> Run:
    if run.diverged is None or failing is None:
        return run
    place = run.diverged.steps
    steps = {place} | {each.step for other in others for each in other.evaluations if each.step >= place}
    if max(steps) < run.steps:
        steps.add(run.steps)
    before = [evaluation for evaluation in run.evaluations if evaluation.step <= place]
    after = [EvaluationRecord(step, failing.value, AFTER_DIVERGENCE) for step in sorted(steps)]
    return replace(run, evaluations=(*before, *after))
