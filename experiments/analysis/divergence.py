"""Gives runs that diverged the value of a policy that fails, from the divergence to their planned end.

To leave them out would favour methods that diverge often, because only their lucky runs would remain.
"""

from collections.abc import Sequence
from dataclasses import replace

from .records import AFTER_DIVERGENCE, EvaluationRecord, Run
from .results import Level


def continued(runs: Sequence[Run], failing: Level | None) -> list[Run]:
    """Return the runs; those that diverged have the failing value wherever runs of equal length were evaluated."""
    return [
        _continued(run, failing, [other for other in runs if other.steps == run.steps and not other.diverged])
        for run in runs
    ]


def _continued(run: Run, failing: Level | None, others: Sequence[Run]) -> Run:
    if run.diverged is None or failing is None:
        return run
    place = run.diverged.steps
    steps = {place} | {each.step for other in others for each in other.evaluations if each.step >= place}
    if max(steps) < run.steps:
        steps.add(run.steps)
    before = [evaluation for evaluation in run.evaluations if evaluation.step <= place]
    of_phases = (failing.value,) * max((len(each.by_phase) for each in before), default=0)
    also = dict.fromkeys((name for each in before for name in each.also), failing.value)
    after = [EvaluationRecord(step, failing.value, AFTER_DIVERGENCE, of_phases, also) for step in sorted(steps)]
    return replace(run, evaluations=(*before, *after))
