"""All environments of one agent together, in normalised scores."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import envs

from .contrasts import contrasts
from .methods import aggregate, curve, curve_values, known, method_draws, values_before
from .notes import few_runs
from .records import Array
from .results import Across, AcrossMethod, Comparison, Curve, Options, Profile, RunScores
from .statistics import median_of_means, profile

LEVELS = 101  # of a performance profile


def across_environments(
    comparisons: Sequence[Comparison], options: Options
) -> tuple[tuple[Across, ...], tuple[str, ...]]:
    """For each agent with several environments; and why not, where scores cannot be averaged."""
    found, notes = [], []
    for agent in dict.fromkeys(comparison.agent for comparison in comparisons):
        group = [comparison for comparison in comparisons if comparison.agent == agent]
        if len(group) < 2:
            continue
        without = [comparison.env for comparison in group if comparison.references is None]
        if without:
            notes.append(
                f"Returns of {', '.join(without)} have no published references to normalise them by: environments of "
                f"{agent} are shown one by one and averaged nowhere."
            )
            continue
        if together := _together(agent, group, options):
            found.append(together)
    return tuple(found), tuple(notes)


def _together(agent: str, comparisons: Sequence[Comparison], options: Options) -> Across | None:
    names = dict.fromkeys(method.method for comparison in comparisons for method in comparison.methods)
    runs = {name: [_finished(comparison, name) for comparison in comparisons] for name in names}
    complete = {name: groups for name, groups in runs.items() if all(groups)}
    if not complete:
        return None
    notes = [
        f"{name} has finished runs in {sum(map(bool, groups))} of {len(groups)} environments: not averaged."
        for name, groups in runs.items()
        if name not in complete
    ]
    notes += few_runs({name: [len(group) for group in groups] for name, groups in complete.items()}, options.confidence)
    for name, groups in complete.items():
        counts = [len(group) for group in groups]
        if len(set(counts)) > 1:
            many = ", ".join(map(str, counts))
            notes.append(f"{name} has {many} runs in these environments: in the IQM each run has the same weight.")
    scores = [run.normalised for groups in complete.values() for group in groups for run in group]
    lowest, highest = min(known(scores)), max(known(scores))
    levels = np.linspace(min(0.0, lowest), max(1.0, highest), LEVELS)
    baseline = comparisons[0].baseline if comparisons[0].baseline in complete else next(iter(complete))
    reference = comparisons[0].reference
    found = contrasts(
        complete, baseline, reference, options, lambda run: run.normalised, lambda run: run.normalised_area
    )
    methods = tuple(_method(name, groups, comparisons, levels, options) for name, groups in complete.items())
    return Across(agent, tuple(comparison.env for comparison in comparisons), methods, found, tuple(notes))


def _finished(comparison: Comparison, name: str) -> list[RunScores]:
    found = [method for method in comparison.methods if method.method == name]
    return [run for method in found for run in method.runs if run.final is not None]


def _method(
    name: str,
    groups: Sequence[Sequence[RunScores]],
    comparisons: Sequence[Comparison],
    levels: Array,
    options: Options,
) -> AcrossMethod:
    make_draws, confidence = method_draws(name, options), options.confidence
    finals = [known([run.normalised for run in group]) for group in groups]
    areas = [known([run.normalised_area for run in group]) for group in groups]
    draws = make_draws([len(runs) for runs in finals])
    return AcrossMethod(
        method=name,
        n=sum(len(group) for group in groups),
        final=aggregate(finals, median_of_means, make_draws, confidence),
        area=aggregate(areas, median_of_means, make_draws, confidence),
        curve=_curve(name, groups, comparisons, options),
        profile=Profile(levels, profile(finals, levels, draws, confidence)),
        runs=tuple(run for group in groups for run in group),
    )


def _curve(
    name: str, groups: Sequence[Sequence[RunScores]], comparisons: Sequence[Comparison], options: Options
) -> Curve | None:
    """Where the method's curves have the same steps in all environments."""
    curves = [comparison.method(name).curve for comparison in comparisons]
    first = curves[0]
    if first is None or any(each is None or not np.array_equal(each.steps, first.steps) for each in curves):
        return None
    scales = [_scale(comparison.env) for comparison in comparisons]
    strata = [
        zero + size * curve_values(group, first.steps)[1] for group, (zero, size) in zip(groups, scales, strict=True)
    ]
    interpolated = any(each is not None and each.interpolated for each in curves)
    make_draws, confidence = method_draws(name, options), options.confidence
    found = curve(first.steps, strata, median_of_means, make_draws, confidence, interpolated)
    return replace(found, before=values_before(groups, first.steps, median_of_means, make_draws, confidence, scales))


def _scale(env: str) -> tuple[float, float]:
    """The normalised score of a return of 0, and what one more adds to it."""
    zero, one = (envs.normalised_score(env, value) for value in (0.0, 1.0))
    assert zero is not None  # there are references
    assert one is not None
    return zero, one - zero
