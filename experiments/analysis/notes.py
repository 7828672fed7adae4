"""Sentences about the runs that a reader has to know in order to judge the numbers of a report."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fire_rl.training.metric import Metric

from ..kept import setting_words, value_text
from .levels import said
from .method_results import MethodResults, RunScores
from .records import AFTER_DIVERGENCE, Run
from .results import ENVIRONMENT_STEPS, Contrast, Level
from .statistics import COVERAGE, ENOUGH_RUNS, runs_in_words


def without_repeats(runs: Sequence[Run]) -> tuple[list[Run], tuple[str, ...]]:
    """Return one run for each environment, metric, method and seed; of several copies, the one with the most steps.

    Raise ValueError for runs that are not copies of each other, because it is not known which of them is meant.
    """
    best: dict[tuple[Any, ...], Run] = {}
    notes = []
    for run in runs:
        key = (run.agent, run.env, run.metric, run.unit, run.method, run.seed)
        other = best.get(key)
        if other is None or (run.finished, run.ended, run.reached) > (other.finished, other.ended, other.reached):
            best[key] = run
        if other is None:
            continue
        above = os.path.commonpath((run.folder.parent, other.folder.parent))
        ours, theirs = (os.path.relpath(each.folder, above) for each in (other, run))
        both, what = f"{ours} and {theirs}", f"{run.method} with seed {run.seed}"
        if apart := _apart(other, run):
            raise ValueError(
                f"{both} in {above} are both {what} in {run.env}, but differ in {apart}: compare them separately"
            )
        if other_results := _other_results(other, run):
            raise ValueError(
                f"{both} in {above}, both {what} in {run.env}, have the same settings but different results: "
                f"{other_results}: report them separately"
            )
        kept = ours if best[key] is other else theirs
        notes.append(f"{both} are copies of one run, {what}; only {kept} is used.")
    return list(best.values()), tuple(notes)


def _apart(one: Run, other: Run) -> str:
    """Return in words in which settings two runs of one method and seed differ; empty for copies."""
    if (starts := [run.branch.step if run.branch else 0 for run in (one, other)])[0] != starts[1]:
        return f"where they start, step {starts[0]:,} and step {starts[1]:,}"
    pairs = {
        name: (ours.get(name), theirs.get(name))
        for ours, theirs in ((one.settings, other.settings), (one.schedule, other.schedule))
        for name in dict.fromkeys((*ours, *theirs))
    }
    return ", ".join(
        f"{setting_words(name)} ({_value(ours)} and {_value(theirs)})"
        for name, (ours, theirs) in pairs.items() if ours != theirs
    )  # fmt: skip


def _other_results(one: Run, other: Run) -> str:
    """Return in words the first result in which two runs with equal settings differ; empty if they do not."""
    for ours, theirs in zip(one.evaluations, other.evaluations, strict=False):
        if str(ours) != str(theirs):  # compared as text, NaN equals NaN
            steps = f"step {ours.step:,}" + (f" and step {theirs.step:,}" if ours.step != theirs.step else "")
            values = f"{ours.mean:.6g} and {theirs.mean:.6g}"
            if ours.step == theirs.step and ours.occasion != theirs.occasion:
                values += f" ({ours.occasion} and {theirs.occasion})"
            return f"evaluations at {steps} have the values {values}"
    for first, second in ((one, other), (other, one)):
        if first.diverged and (second.ended or second.reached > first.diverged.steps) and not second.diverged:
            return f"only one of them diverged, {first.diverged.said}"
    if one.diverged and other.diverged and one.diverged != other.diverged:
        return f"one diverged {one.diverged.said}, the other {other.diverged.said}"
    if one.ended and other.ended and len(one.evaluations) != len(other.evaluations):
        return f"one has {len(one.evaluations)} evaluations, the other {len(other.evaluations)}"
    return ""


def notes_on_all(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return sentences about versions of packages, commits and machines that are not the same for all runs."""
    names = dict.fromkeys(name for run in runs for name in run.made_with)
    return tuple(
        f"Not all runs were made with the same {name}: {values}."
        for name in names
        if (values := _differing([run.made_with.get(name, "none") for run in runs]))
    )


def notes_on(
    methods: Sequence[MethodResults], contrasts: Sequence[Contrast], failing: Level | None, metric: Metric,
    confidence: float,
) -> Iterator[str]:  # fmt: skip
    """Yield sentences about the runs of one agent in one environment."""
    counts = {method.method: method.n for method in methods}
    fewer = {  # numbers of pairs, for methods that share fewer trunks than they have runs
        f"pairs of {each.method} and {each.against}": [each.final.iqm.n]
        for each in contrasts
        if each.paired and each.final.iqm.n < min(counts[each.method], counts[each.against])
    }
    yield from few_runs({name: [n] for name, n in counts.items()} | fewer, confidence)
    yield from _diverged(methods, failing, metric)
    yield from _uneven(methods)
    yield from _unfinished(methods)
    runs = [run.run for method in methods for run in method.runs]
    yield from _settings(runs)
    yield from _pairing(runs, contrasts)
    never = {method.method: sum(run.reached is False for run in method.runs) for method in methods}
    if which := ", ".join(f"{name} {count} of {counts[name]}" for name, count in never.items() if count):
        yield f"Runs that never reached the threshold ({which}) count as censored at their last evaluation."
    if names := ", ".join(method.method for method in methods if method.curve and method.curve.interpolated):
        yield f"Not all runs were evaluated at the same steps: the curves of {names} are interpolated."
    yield from _lost([run for method in methods for run in method.runs], metric)
    yield from _on_events(methods, metric)


def few_runs(counts: Mapping[str, Sequence[int]], confidence: float) -> Iterator[str]:
    """Yield a sentence on how far intervals of few runs can be trusted; `counts` are each method's, by environment."""
    few = {name: sizes for name, sizes in counts.items() if 0 < min(sizes) < ENOUGH_RUNS}
    if not few:
        return
    several = len(next(iter(few.values()))) > 1
    said = {name: runs_in_words((tuple(sizes),)) if several else str(sizes[0]) for name, sizes in few.items()}
    which = ", ".join(f"{name} {number}" for name, number in said.items())
    sizes = [each for group in few.values() for each in group]
    told = ["a single run has no interval"] if 1 in sizes else []
    if least := min((size for size in sizes if size > 1), default=0):
        average, middle = COVERAGE.get(least, COVERAGE[ENOUGH_RUNS])
        told.append(
            f"bootstrap intervals of so few runs cover the true value less often than their nominal "
            f"{100 * confidence:g}% (with {least} normally distributed scores, a nominal 95% interval of the mean "
            f"covers it in {average:.0%} of the cases, one of the IQM in {middle:.0%})"
        )
    yield f"Fewer than {ENOUGH_RUNS} runs{' in an environment' if several else ''} ({which}): {'; '.join(told)}."


def _diverged(methods: Sequence[MethodResults], failing: Level | None, metric: Metric) -> Iterator[str]:
    """Yield sentences that tell which runs diverged, and with which value they count."""
    told = f"it has no score, because no {metric.name} is known"
    if failing is not None:
        article = "an" if metric.name[0] in "aeiou" else "a"
        told = (
            f"from there to the planned end it counts with {article} {metric.name} of {said(failing.value, metric)} "
            f"({failing.meaning}) in every curve, score and interval"
        )
    for method in methods:
        runs = [run.run for run in method.runs]
        left_out = "; it is not in the means of measures and of wall time" if any(r.finished for r in runs) else ""
        if found := [f"seed {run.seed} diverged {run.diverged.said}" for run in runs if run.diverged]:
            yield f"{method.method}, {', '.join(found)}: {told}{left_out}."


def _uneven(methods: Sequence[MethodResults]) -> Iterator[str]:
    seeds = {method.method: {run.run.seed for run in method.runs} for method in methods}
    everything = set().union(*seeds.values())
    for name, own in seeds.items():
        if lacks := sorted(everything - own):
            which = f"seed{'s' * (len(lacks) > 1)} {', '.join(map(str, lacks))}"
            yield f"The methods have different seeds: {name} was not run with {which}."


def _unfinished(methods: Sequence[MethodResults]) -> Iterator[str]:
    for method in methods:
        which = ", ".join(
            f"seed {run.seed} at step {run.reached:,} of {run.steps:,}" + (", failed" if run.failure else "")
            for run in (scores.run for scores in method.runs)
            if not run.ended
        )
        if method.n:
            told = "they are drawn, but not counted in any curve, score or interval"
        elif method.curve is not None:
            last = method.curve.steps[-1]
            told = f"as no run has finished, the curve ends at step {last:,.0f}, and there is no score"
        else:
            told = "none of them has been evaluated yet"
        if which:
            yield f"Unfinished runs of {method.method} ({which}): {told}."


def _settings(runs: Sequence[Run]) -> Iterator[str]:
    """Yield sentences about settings in which runs differ, so that they may not be a fair comparison."""
    for name in dict.fromkeys(name for run in runs for name in run.settings):
        if values := _differing([_value(run.settings.get(name)) for run in runs]):
            yield f"Runs differ in the setting {setting_words(name)}: {values}. Compare them with care."
    for method in dict.fromkeys(run.method for run in runs):
        own = [run for run in runs if run.method == method]
        for name in own[0].schedule:
            if values := _differing([_value(run.schedule[name]) for run in own]):
                yield f"Runs of {method} differ in {setting_words(name)}: {values}. They are averaged as one method."


def _pairing(runs: Sequence[Run], contrasts: Sequence[Contrast]) -> Iterator[str]:
    branches = [run for run in runs if run.branch is not None]
    if not branches:
        return
    if len(branches) < len(runs):
        yield (
            f"{len(branches)} of {len(runs)} runs are branches: the area and the steps to the threshold are taken from "
            "the branch on for these, and from the start for the others."
        )
    elif steps := _differing([run.branch and run.branch.step for run in runs]):
        yield f"The runs branch at different steps: {steps}."
    if unpaired := "; ".join(f"{each.method} and {each.against}" for each in contrasts if not each.paired):
        yield f"These methods are not paired, because their runs are not branches of the same trunks: {unpaired}."
    counts = Counter(run.method for run in runs if run.ended)
    for each in contrasts:
        if each.paired and (n := each.final.iqm.n) < max(counts[each.method], counts[each.against]):
            on = "the one trunk" if n == 1 else f"the {n} trunks"
            yield f"{each.method} and {each.against} are compared on {on} that they share."


def _lost(scored: Sequence[RunScores], metric: Metric) -> Iterator[str]:
    """Yield sentences about evaluations without a value, and about runs whose last evaluation has none."""
    what = metric.name
    means = [each.mean for run in scored for each in run.run.evaluations if each.occasion != AFTER_DIVERGENCE]
    if lost := sum(not math.isfinite(mean) for mean in means):
        why = (
            f"no episode ended in them or the {what} was not a number"
            if scored[0].run.unit == ENVIRONMENT_STEPS
            else "it was not a number"
        )
        yield f"{lost} of {len(means)} evaluations have no {what}, because {why}; they are left out."
    for run in scored:
        if not run.run.finished or math.isfinite(run.run.evaluations[-1].mean):
            continue
        name = f"{run.run.method}, seed {run.run.seed}"
        if run.final is not None:
            yield f"{name}, has no {what} in its last evaluation: its score is the mean of those shortly before."
            continue
        last = f"no {what} after step {run.steps[-1]:,.0f}" if len(run.steps) else f"no {what} at all"
        curve = f", and the curve of {run.run.method} ends there" if run.counted else ""
        yield f"{name}, has {last}: it has no score and is in no mean or interval{curve}."


def _on_events(methods: Sequence[MethodResults], metric: Metric) -> Iterator[str]:
    blurred = [
        method.method
        for method in methods
        if (curve := method.curve) is not None
        and any(
            step not in curve.before and step <= curve.steps[-1]
            for run in method.runs if run.counted for step in run.before
        )
    ]  # fmt: skip
    if blurred:
        yield (
            f"Not all runs of {', '.join(blurred)} had their events at the same steps: the drops at events are visible "
            "in the single runs, but averaged out in the curve of the method."
        )
    for method in methods:
        gaps = [gap.cut for run in method.runs for gap in run.gaps]
        if any(gaps):
            yield (
                f"{sum(gaps)} of {len(gaps)} stability gaps of {method.method} end with the run's next event, before "
                f"the {metric.name} recovered: without this event they might have been deeper and longer."
            )


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return (", ".join(map(value_text, value)) or "none") if isinstance(value, list | tuple) else value_text(value)


def _differing(values: Sequence[Any]) -> str:
    """Return each value with the number of runs that have it; empty if all runs have the same value."""
    counts = Counter(map(str, values))
    if len(counts) < 2:
        return ""
    return ", ".join(f"{text} ({count} run{'s' * (count > 1)})" for text, count in counts.items())
