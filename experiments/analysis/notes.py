"""What a reader has to know about these runs before believing their numbers, in sentences."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fire_rl.training.metric import Metric

from ..kept import setting_words, value_text
from .levels import said
from .records import AFTER_DIVERGENCE, Run
from .results import ENVIRONMENT_STEPS, Contrast, Level, MethodResults, RunScores
from .statistics import COVERAGE, ENOUGH_RUNS, runs_in_words


def without_repeats(runs: Sequence[Run]) -> tuple[list[Run], tuple[str, ...]]:
    """One run for each environment, metric, method and seed; of copies the one that got farthest.

    Runs that are no copies are refused: which of them stands for the method nobody here can know.
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
        if apart := _apart(other, run):
            raise ValueError(
                f"{ours} and {theirs} in {above} are both {run.method} with seed {run.seed} in {run.env}, but differ "
                f"in {apart}: compare them apart"
            )
        if other_results := _other_results(other, run):
            raise ValueError(
                f"{ours} and {theirs} in {above}, of {run.method} with seed {run.seed} in {run.env}, have the same "
                f"settings and other results: {other_results}: report them apart"
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
    return ", ".join(
        f"{setting_words(name)} ({_value(ours)} and {_value(theirs)})"
        for name, (ours, theirs) in pairs.items() if ours != theirs
    )  # fmt: skip


def _other_results(one: Run, other: Run) -> str:
    """The first result in which two runs of the same settings differ, in words; nothing as far as both are the same."""
    for ours, theirs in zip(one.evaluations, other.evaluations, strict=False):
        if str(ours) != str(theirs):  # in words, NaN is NaN
            steps = f"step {ours.step:,}" + (f" and step {theirs.step:,}" if ours.step != theirs.step else "")
            values = f"{ours.mean:.6g} and {theirs.mean:.6g}"
            if ours.step == theirs.step and ours.occasion != theirs.occasion:
                values += f" ({ours.occasion} and {theirs.occasion})"
            return f"evaluations at {steps} came to {values}"
    for first, second in ((one, other), (other, one)):
        if first.diverged and (second.ended or second.reached > first.diverged.steps) and not second.diverged:
            return f"only one of them diverged, {first.diverged.said}"
    if one.diverged and other.diverged and one.diverged != other.diverged:
        return f"one diverged {one.diverged.said}, the other {other.diverged.said}"
    if one.ended and other.ended and len(one.evaluations) != len(other.evaluations):
        return f"one has {len(one.evaluations)} evaluations, the other {len(other.evaluations)}"
    return ""


def notes_on_all(runs: Sequence[Run]) -> tuple[str, ...]:
    """What runs were made with, where it differs: packages, commit, machine."""
    names = dict.fromkeys(name for run in runs for name in run.made_with)
    return tuple(
        f"Runs were made with different {name}: {values}."
        for name in names
        if (values := _differing([run.made_with.get(name, "none") for run in runs]))
    )


def notes_on(
    methods: Sequence[MethodResults], contrasts: Sequence[Contrast], failing: Level | None, metric: Metric,
    confidence: float,
) -> Iterator[str]:  # fmt: skip
    """On the runs of one agent in one environment."""
    counts = {method.method: method.n for method in methods}
    fewer = {  # pairs, where both methods have fewer trunks in common than runs
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
    never = {
        name: sum(run.reached is False for run in method.runs) for name, method in zip(counts, methods, strict=True)
    }
    if which := ", ".join(f"{name} {count} of {counts[name]}" for name, count in never.items() if count):
        yield f"Runs that never reached the threshold ({which}) count as censored at their last evaluation."
    if names := ", ".join(method.method for method in methods if method.curve and method.curve.interpolated):
        how = "straight lines between evaluations"
        yield f"Not all runs were evaluated at the same steps: curves of {names} are {how}."
    yield from _lost([run for method in methods for run in method.runs], metric)
    yield from _on_events(methods, metric)


def few_runs(counts: Mapping[str, Sequence[int]], confidence: float) -> Iterator[str]:
    """What intervals of few runs are worth, judged by the fewest; `counts` are each method's by environment."""
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
            f"bootstrap intervals of so few cover the truth less often than their nominal {100 * confidence:g}% (of "
            f"{least} normal scores, nominal 95% of the mean {average:.0%} of the time, of the IQM {middle:.0%})"
        )
    yield f"Fewer than {ENOUGH_RUNS} runs{' in an environment' if several else ''} ({which}): {'; '.join(told)}."


def _diverged(methods: Sequence[MethodResults], failing: Level | None, metric: Metric) -> Iterator[str]:
    """Which runs diverged, and what they count with."""
    told = f"it has no score, as nothing is known of any {metric.name}"
    if failing is not None:
        article = "an" if metric.name[0] in "aeiou" else "a"
        told = (
            f"counted with {article} {metric.name} of {said(failing.value, metric)}, {failing.meaning}, from there to "
            "the planned end, in every curve, score and interval"
        )
    for method in methods:
        left_out = "; not in the means of measures and of wall time" if any(r.run.finished for r in method.runs) else ""
        found = [f"seed {run.run.seed} diverged {run.run.diverged.said}" for run in method.runs if run.run.diverged]
        if found:
            yield f"{method.method}, {', '.join(found)}: {told}{left_out}."


def _uneven(methods: Sequence[MethodResults]) -> Iterator[str]:
    seeds = {method.method: {run.run.seed for run in method.runs} for method in methods}
    everything = set().union(*seeds.values())
    for name, own in seeds.items():
        if lacks := sorted(everything - own):
            which = f"seed{'s' * (len(lacks) > 1)} {', '.join(map(str, lacks))}"
            yield f"Seeds are uneven: {name} was not run with {which}."


def _unfinished(methods: Sequence[MethodResults]) -> Iterator[str]:
    for method in methods:
        which = ", ".join(
            f"seed {run.seed} at step {run.reached:,} of {run.steps:,}" + (", failed" if run.failure else "")
            for run in (scores.run for scores in method.runs)
            if not run.ended
        )
        if method.n:
            told = "drawn, but counted in no curve, score or interval"
        elif method.curve is not None:
            last = f"{method.curve.steps[-1]:,.0f}"
            told = f"as no run has finished, the curve goes to step {last}, and there is no score"
        else:
            told = "not evaluated yet"
        if which:
            yield f"Unfinished runs of {method.method} ({which}): {told}."


def _settings(runs: Sequence[Run]) -> Iterator[str]:
    """Runs that are no fair comparison, and methods that are not one method."""
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
            f"{len(branches)} of {len(runs)} runs are branches: their areas and steps to the threshold count from the "
            "branch on, those of the others from the start."
        )
    elif steps := _differing([run.branch and run.branch.step for run in runs]):
        yield f"Branches were made at different steps: {steps}."
    if unpaired := "; ".join(f"{each.method} and {each.against}" for each in contrasts if not each.paired):
        yield f"Not paired, as their runs are not branches of the same trunks: {unpaired}."
    counts = Counter(run.method for run in runs if run.ended)
    for each in contrasts:
        if each.paired and (n := each.final.iqm.n) < max(counts[each.method], counts[each.against]):
            yield f"{each.method} and {each.against} are compared on the {n} trunks that both have."


def _lost(scored: Sequence[RunScores], metric: Metric) -> Iterator[str]:
    """Evaluations without a value, and what runs are worth whose last one is among them."""
    what = metric.name
    means = [each.mean for run in scored for each in run.run.evaluations if each.occasion != AFTER_DIVERGENCE]
    if lost := sum(not math.isfinite(mean) for mean in means):
        why = "no episode ended in them or it" if scored[0].run.unit == ENVIRONMENT_STEPS else "it"
        yield f"{lost} of {len(means)} evaluations have no {what}, as {why} was no number: they are left out."
    for run in scored:
        if not run.run.finished or math.isfinite(run.run.evaluations[-1].mean):
            continue
        name = f"{run.run.method}, seed {run.run.seed}"
        if run.final is not None:
            yield f"{name}, has no {what} in its last evaluation: its score is of those shortly before."
            continue
        last = f"no {what} after step {run.steps[-1]:,.0f}" if len(run.steps) else f"no {what} at all"
        curve = f" and the curve of {run.run.method} ends there" if run.counted else ""
        yield f"{name}, has {last}: it has no score, is in no mean and no interval{curve}."


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
            f"Not all runs of {', '.join(blurred)} had their events at the same steps: their falls are in the single "
            "runs, and blurred in the curves of the method."
        )
    for method in methods:
        gaps = [gap.cut for run in method.runs for gap in run.gaps]
        if any(gaps):
            yield (
                f"{sum(gaps)} of {len(gaps)} stability gaps of {method.method} are cut off by the run's next event "
                f"before the {metric.name} was back: how much deeper and longer they would have been is not known."
            )


def _value(value: Any) -> str:
    """A setting's value in a sentence."""
    if value is None:
        return "none"
    return (", ".join(map(value_text, value)) or "none") if isinstance(value, list | tuple) else value_text(value)


def _differing(values: Sequence[Any]) -> str:
    """Each value with how many runs have it, or nothing where all have the same."""
    counts = Counter(map(str, values))
    if len(counts) < 2:
        return ""
    return ", ".join(f"{text} ({count} run{'s' * (count > 1)})" for text, count in counts.items())
