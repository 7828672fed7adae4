"""What a reader has to know about these runs before believing their numbers, in sentences."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .records import AFTER_DIVERGENCE, Run
from .results import Contrast, Failing, MethodResults, Options, RunScores
from .statistics import COVERAGE, ENOUGH_RUNS, counted


def without_repeats(runs: Sequence[Run]) -> tuple[list[Run], tuple[str, ...]]:
    """One run for each environment, method and seed; of copies the one that got farthest.

    Runs that are no copies are refused: which of them stands for the method nobody here can know.
    """
    best: dict[tuple[Any, ...], Run] = {}
    notes = []
    for run in runs:
        key = (run.agent, run.env, run.method, run.seed)
        other = best.get(key)
        if other is None or (run.finished, run.ended, run.reached) > (other.finished, other.ended, other.reached):
            best[key] = run
        if other is None:
            continue
        above = os.path.commonpath((run.folder.parent, other.folder.parent))
        ours, theirs = (os.path.relpath(each.folder, above) for each in (other, run))
        if apart := _apart(other, run):
            raise ValueError(
                f"{ours} and {theirs} in {above} are both {run.method} with seed {run.seed} in {run.env}, but differ "
                f"in {apart}: compare them apart"
            )
        kept = ours if best[key] is other else theirs
        notes.append(f"{ours} and {theirs} are the same run, of {run.method} with seed {run.seed}: only {kept} counts.")
    return list(best.values()), tuple(notes)


def _apart(one: Run, other: Run) -> str:
    """In what two runs of one method and seed differ, in words; nothing for copies."""
    if (starts := [run.branch.step if run.branch else 0 for run in (one, other)])[0] != starts[1]:
        return f"where they start, step {starts[0]:,} and step {starts[1]:,}"
    pairs = {
        name: (ours.get(name), theirs.get(name))
        for ours, theirs in ((one.settings, other.settings), (one.schedule, other.schedule))
        for name in dict.fromkeys((*ours, *theirs))
    }
    return ", ".join(f"{name} ({ours} and {theirs})" for name, (ours, theirs) in pairs.items() if ours != theirs)


def notes_on_all(runs: Sequence[Run]) -> tuple[str, ...]:
    """What runs were made with, where it differs: packages, commit, machine."""
    names = dict.fromkeys(name for run in runs for name in run.made_with)
    return tuple(
        f"Runs were made with different {name}: {values}."
        for name in names
        if (values := _differing([run.made_with.get(name, "none") for run in runs]))
    )


def notes_on(
    methods: Sequence[MethodResults], contrasts: Sequence[Contrast], options: Options, failing: Failing | None
) -> tuple[str, ...]:
    """On the runs of one agent in one environment."""
    scored = [run for method in methods for run in method.runs]
    runs = [each.run for each in scored]
    return (
        *few_runs({method.method: [method.n] for method in methods} | _fewer(methods, contrasts), options.confidence),
        *_diverged(methods, failing),
        *_uneven(methods),
        *_unfinished(methods),
        *_settings(runs),
        *_pairing(runs, contrasts),
        *_censored(methods),
        *_evaluations(methods, scored),
        *_between(methods),
        *_cut_gaps(methods),
    )


def few_runs(counts: Mapping[str, Sequence[int]], confidence: float) -> list[str]:
    """What intervals of few runs are worth, judged by the fewest; `counts` are each method's by environment."""
    few = {name: sizes for name, sizes in counts.items() if 0 < min(sizes) < ENOUGH_RUNS}
    if not few:
        return []
    environments = len(next(iter(few.values())))
    said = {name: counted((tuple(sizes),)) if environments > 1 else str(sizes[0]) for name, sizes in few.items()}
    which = ", ".join(f"{name} {number}" for name, number in said.items())
    where = " in an environment" if environments > 1 else ""
    notes = [f"Fewer than {ENOUGH_RUNS} runs{where} ({which})"]
    if 1 in (each for sizes in few.values() for each in sizes):
        notes.append("a single run has no interval")
    if sizes := [each for group in few.values() for each in group if each > 1]:
        average, middle = COVERAGE[min(sizes)] if min(sizes) in COVERAGE else COVERAGE[ENOUGH_RUNS]
        notes.append(
            f"bootstrap intervals of so few cover the truth less often than their nominal {100 * confidence:g}% (of "
            f"{min(sizes)} normal scores, nominal 95% of the mean {average:.0%} of the time, of the IQM {middle:.0%})"
        )
    return [": ".join((notes[0], "; ".join(notes[1:]))) + "."]


def _fewer(methods: Sequence[MethodResults], contrasts: Sequence[Contrast]) -> dict[str, list[int]]:
    """Pairs, where both methods have fewer trunks in common than runs."""
    counts = {method.method: method.n for method in methods}
    return {
        f"pairs of {each.method} and {each.against}": [each.final_iqm.n]
        for each in contrasts
        if each.paired and each.final_iqm.n < min(counts[each.method], counts[each.against])
    }


def _uneven(methods: Sequence[MethodResults]) -> list[str]:
    seeds = {method.method: {run.run.seed for run in method.runs} for method in methods}
    everything = set().union(*seeds.values())
    missing = {name: sorted(everything - own) for name, own in seeds.items() if everything - own}
    return [
        f"Seeds are uneven: {name} was not run with seed{'s' * (len(lacks) > 1)} {', '.join(map(str, lacks))}."
        for name, lacks in missing.items()
    ]


def _diverged(methods: Sequence[MethodResults], failing: Failing | None) -> list[str]:
    """Which runs diverged, and what they count with."""
    if failing is None:
        told = "it has no score, as nothing is known of any return"
    else:
        told = (
            f"counted with a return of {failing.value:.4g}, {failing.meaning}, from there to the planned end, in every "
            "curve, score and interval"
        )
    notes = []
    for method in methods:
        found = [f"seed {run.run.seed} diverged {run.run.diverged.said}" for run in method.runs if run.run.diverged]
        others = any(run.run.finished for run in method.runs)
        left_out = "; not in the means of measures and of wall time" if found and others else ""
        notes += [f"{method.method}, {', '.join(found)}: {told}{left_out}."] if found else []
    return notes


def _unfinished(methods: Sequence[MethodResults]) -> list[str]:
    notes = []
    for method in methods:
        unfinished = [run.run for run in method.runs if not run.run.ended]
        if not unfinished:
            continue
        which = ", ".join(
            f"seed {run.seed} at step {run.reached:,} of {run.steps:,}" + (", failed" if run.failure else "")
            for run in unfinished
        )
        if method.n:
            told = "drawn, but counted in no curve, score or interval"
        elif method.curve is not None:
            told = (
                f"as no run has finished, the curve goes to step {method.curve.steps[-1]:,.0f}, and there is no score"
            )
        else:
            told = "not evaluated yet"
        notes.append(f"Unfinished runs of {method.method} ({which}): {told}.")
    return notes


def _settings(runs: Sequence[Run]) -> list[str]:
    """Runs that are no fair comparison, and methods that are not one method."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    notes = [
        f"Runs differ in the setting {name}: {values}. Compare them with care."
        for name in names
        if (values := _differing([run.settings.get(name) for run in runs]))
    ]
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        notes += [
            f"Runs of {method} differ in {name}: {values}. They are averaged as one method."
            for name in own[0].schedule
            if (values := _differing([run.schedule[name] for run in own]))
        ]
    return notes


def _pairing(runs: Sequence[Run], contrasts: Sequence[Contrast]) -> list[str]:
    branches = [run for run in runs if run.branch is not None]
    if not branches:
        return []
    notes = []
    if len(branches) < len(runs):
        notes.append(
            f"{len(branches)} of {len(runs)} runs are branches: their areas and steps to the threshold count from the "
            "branch on, those of the others from the start."
        )
    elif steps := _differing([run.branch and run.branch.step for run in runs]):
        notes.append(f"Branches were made at different steps: {steps}.")
    unpaired = [f"{each.method} and {each.against}" for each in contrasts if not each.paired]
    if unpaired:
        notes.append(f"Not paired, as their runs are not branches of the same trunks: {'; '.join(unpaired)}.")
    counts = Counter(run.method for run in runs if run.ended)
    return notes + [
        f"{each.method} and {each.against} are compared on the {each.improvement.n} trunks that both have."
        for each in contrasts
        if each.paired and each.improvement.n < max(counts[each.method], counts[each.against])
    ]


def _censored(methods: Sequence[MethodResults]) -> list[str]:
    never = {method.method: sum(run.reached is False for run in method.runs) for method in methods}
    which = ", ".join(f"{name} {count} of {_n(methods, name)}" for name, count in never.items() if count)
    if not which:
        return []
    return [f"Runs that never reached the threshold ({which}) count as censored at their last evaluation."]


def _n(methods: Sequence[MethodResults], name: str) -> int:
    return next(method.n for method in methods if method.method == name)


def _evaluations(methods: Sequence[MethodResults], scored: Sequence[RunScores]) -> list[str]:
    notes = []
    interpolated = [method.method for method in methods if method.curve is not None and method.curve.interpolated]
    if interpolated:
        notes.append(
            f"Not all runs were evaluated at the same steps: curves of {', '.join(interpolated)} are straight lines "
            "between evaluations."
        )
    means = [each.mean for run in scored for each in run.run.evaluations if each.occasion != AFTER_DIVERGENCE]
    if lost := sum(not math.isfinite(mean) for mean in means):
        notes.append(
            f"{lost} of {len(means)} evaluations have no return, as no episode ended in them or it was no number: they "
            "are left out."
        )
    for run in scored:
        if not run.run.finished or math.isfinite(run.run.evaluations[-1].mean):
            continue
        name = f"{run.run.method}, seed {run.run.seed}"
        if run.final is not None:
            notes.append(f"{name}, has no return in its last evaluation: its score is of those shortly before.")
            continue
        last = f"no return after step {run.steps[-1]:,.0f}" if len(run.steps) else "no return at all"
        curve = f" and the curve of {run.run.method} ends there" if run.counted else ""
        notes.append(f"{name}, has {last}: it has no score, is in no mean and no interval{curve}.")
    return notes


def _cut_gaps(methods: Sequence[MethodResults]) -> list[str]:
    cut = {method.method: [gap.cut for run in method.runs for gap in run.gaps] for method in methods}
    return [
        f"{sum(gaps)} of {len(gaps)} stability gaps of {name} are cut off by the run's next event before the return "
        "was back: how much deeper and longer they would have been is not known."
        for name, gaps in cut.items()
        if any(gaps)
    ]


def _between(methods: Sequence[MethodResults]) -> list[str]:
    between = [
        method.method
        for method in methods
        if method.curve is not None
        and any(
            step not in method.curve.before
            for run in method.runs
            if run.counted
            for step in run.before
            if step <= method.curve.steps[-1]
        )
    ]
    if not between:
        return []
    return [
        f"Not all runs of {', '.join(between)} had their events at the same steps: their falls are in the single runs, "
        "and blurred in the curves of the method."
    ]


def _differing(values: Sequence[Any]) -> str:
    """Each value with how many runs have it, or nothing where all have the same."""
    counts = Counter(map(str, values))
    if len(counts) < 2:
        return ""
    return ", ".join(f"{text} ({count} run{'s' * (count > 1)})" for text, count in counts.items())
