"""Combines all environments of one agent, in normalised scores."""

from collections.abc import Sequence

import numpy as np

from fire_rl.training.metric import Metric

from .contrasts import contrasts, family
from .methods import LEVELS, Resampling, known, scores_of
from .notes import few_runs
from .results import Across, Comparison, Options
from .scoring import in_normalised_scores

NORMALISED = Metric("normalised score")


def across_environments(
    comparisons: Sequence[Comparison], options: Options
) -> tuple[tuple[Across, ...], tuple[str, ...]]:
    """Return the combined results of each agent with several environments, and why others cannot be combined."""
    found, notes = [], []
    for agent in dict.fromkeys(comparison.agent for comparison in comparisons):
        group = [comparison for comparison in comparisons if comparison.agent == agent]
        metrics = dict.fromkeys((each.metric, each.unit) for each in group)
        without = [comparison.env for comparison in group if comparison.references is None]
        if len(metrics) > 1:
            each_in = [
                (metric, ", ".join(each.env for each in group if (each.metric, each.unit) == (metric, unit)))
                for metric, unit in metrics
            ]
            said = "; ".join(f"{metric.words} in {where}" for metric, where in each_in)
            notes.append(
                f"Runs of {agent} have different metrics ({said}): runs with different metrics are neither compared "
                "with each other nor averaged."
            )
        elif len(group) > 1 and without:
            notes.append(
                f"For {', '.join(without)} there are no published references to normalise {group[0].metric.plural} by: "
                f"the {'environments' if group[0].acts else 'data sets'} of {agent} are shown one by one and not "
                "averaged."
            )
        elif len(group) > 1 and (together := _together(agent, group, options)):
            found.append(together)
    return tuple(found), tuple(notes)


def _together(agent: str, comparisons: Sequence[Comparison], options: Options) -> Across | None:
    names = dict.fromkeys(method.method for comparison in comparisons for method in comparison.methods)
    runs = {
        name: [
            [in_normalised_scores(run) for method in each.methods if method.method == name for run in method.finished]
            for each in comparisons
        ]
        for name in names
    }
    complete = {name: groups for name, groups in runs.items() if all(groups)}
    if not complete:
        return None
    notes = [
        f"{name} has finished runs in {sum(map(bool, groups))} of {len(groups)} environments; it is not averaged over "
        "environments."
        for name, groups in runs.items()
        if name not in complete
    ]
    notes += few_runs({name: [len(group) for group in groups] for name, groups in complete.items()}, options.confidence)
    for name, groups in complete.items():
        counts = [len(group) for group in groups]
        if len(set(counts)) > 1:
            many = ", ".join(map(str, counts))
            notes.append(f"{name} has {many} runs in these environments; in the IQM, each run has the same weight.")
    scores = known([run.final for groups in complete.values() for group in groups for run in group])
    levels = np.linspace(min(0.0, min(scores)), max(1.0, max(scores)), LEVELS)
    baseline = comparisons[0].baseline if comparisons[0].baseline in complete else next(iter(complete))
    reference = comparisons[0].reference
    histories = {(comparison.branch_step, comparison.trunk) for comparison in comparisons}
    methods = []
    for name, groups in complete.items():
        made = Resampling(name, NORMALISED, options)
        curve = made.curve_over_all(groups, [each.method(name).curve for each in comparisons])
        methods.append(scores_of(groups, curve, levels, made))
    found = contrasts(complete, baseline, reference, NORMALISED, options)
    branch_step, trunk = histories.pop() if len(histories) == 1 else (None, None)
    return Across(
        agent=agent,
        where=f"{len(comparisons)} environments together",
        envs=tuple(comparison.env for comparison in comparisons),
        methods=tuple(methods),
        baseline=baseline,
        reference=reference,
        contrasts=found,
        family=family(found, options.confidence),
        notes=tuple(notes),
        branch_step=branch_step,
        trunk=trunk if any(method.method == trunk and method.curve for method in methods) else None,
        metric=NORMALISED,
        unit=comparisons[0].unit,
    )
