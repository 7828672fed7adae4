"""The report's sections on the steps to a threshold, and on the stability gaps after events."""

import math

from fire_rl.training.metric import Metric

from ..analysis.phases import epoch_at
from ..analysis.results import Comparison
from ..analysis.scoring import own_boundaries
from ..analysis.statistics import Interval
from . import wording
from .drawing import DARK, TRUNK, Look, Looks
from .score_figures import Row
from .sections import Section, Table, TableRow, columns_in_words, illustrated, rows_figure, ways

WITHOUT_EVENT = Look(TRUNK, DARK[TRUNK], "o")  # for branches on which nothing was done


def threshold_section(comparison: Comparison, looks: Looks) -> Section | None:
    """Return the section on the steps to the threshold; None without a threshold."""
    found = [(method, method.threshold) for method in comparison.methods if method.threshold]
    if comparison.threshold is None or not found:
        return None
    branches = any(run.run.branch for method, _ in found for run in method.runs)
    steps, rows, cells = comparison.short_unit, [], []
    for method, reached in found:
        when, share = reached.median_steps, reached.share
        count = f"{round(share.value * share.n)} of {share.n}"
        times = [run.steps_to_threshold for run in method.runs if run.steps_to_threshold is not None]
        ends = [float(run.steps[-1]) for run in method.runs if run.steps_to_threshold == math.inf]
        said = f"{wording.short_steps(when)}; {count}"
        rows.append(Row(method.method, looks[method.method], when, said, [t for t in times if t < math.inf], ends))
        cells.append(TableRow(method.method, (
            method.method, str(share.n), *((str(reached.already),) if branches else ()), count, wording.percent(share),
            wording.step_interval(when),
        )))  # fmt: skip
    columns = ("method", "n", *(("before the branch",) if branches else ()), "reached", "share", f"median {steps}")
    epochs = [_epochs_in_words(comparison, reached.median_steps) for _, reached in found]
    if any(epochs):
        columns = (*columns, "epochs")
        both = zip(cells, epochs, strict=True)
        cells = [TableRow(row.method, (*row.cells, said or wording.MISSING)) for row, said in both]
    title = f"{steps.capitalize()} to the threshold, median"
    figure = illustrated(rows, title, comparison.unit, over_steps=True, least=100.0 if comparison.acts else 1.0)
    notes = (*ways((r.median_steps for _, r in found), "Medians"), *ways((r.share for _, r in found), "Shares"))
    notes += ("The threshold stays the same while runs are resampled, even if it was computed from these runs.",)
    table = Table("Runs that reached the threshold", columns, tuple(cells))
    text = _threshold_in_words(comparison, branches)
    return Section(f"{steps.capitalize()} to a threshold", text, (figure,), (table,), notes)


def _epochs_in_words(comparison: Comparison, median: Interval) -> str:
    """Return the median in epochs of its phase, with the bounds of its interval if they are in the same phase."""
    run = comparison.own[0].runs[0].run
    phase, epochs = epoch_at(run, median.value) or (0, 0.0)
    if not phase:
        return ""
    said = f"{wording.number(epochs)} of phase {phase}"
    bounds = [epoch_at(run, bound) for bound in (median.low, median.high)] if median.bounded else []
    inside = [bound for bound in bounds if bound and bound[0] == phase]
    return f"{said} [{', '.join(wording.number(bound[1]) for bound in inside)}]" if len(inside) == 2 else said


def _threshold_in_words(comparison: Comparison, branches: bool) -> str:
    assert comparison.threshold is not None
    value = wording.in_unit(comparison.threshold.value, comparison.metric)
    text = (
        f"Threshold: {value}, {comparison.threshold.meaning}. Dots: runs that reached it. Open arrows: runs that had "
        "not reached it when they ended; they are not left out, but censored at their end. "
        '"Never": less than half of the runs reached it.'
    )
    if branches:
        text += (
            f" For branches, only evaluations after the branch are used; {comparison.short_unit} are counted from the "
            "beginning of the run."
        )
    if already := sum(method.threshold.already for method in comparison.methods if method.threshold):
        text += (
            f" {wording.plural(already, 'run')} of {sum(m.n for m in comparison.methods)} had already reached it "
            "before the branch; for these, the first evaluation after the branch that reached it again is shown."
        )
    return text


def gap_section(comparison: Comparison, looks: Looks) -> Section | None:
    """Return the section on stability gaps; None if no method acts."""
    metric = comparison.metric
    rows = [
        (method.method, looks[method.method], method.gap, [gap.depth for run in method.runs for gap in run.gaps])
        for method in comparison.methods if method.gap
    ]  # fmt: skip
    still = [
        (
            f"{method.method}, nothing done", WITHOUT_EVENT, gap,
            [run.gap_without_event.depth for run in method.runs if run.gap_without_event],
        )
        for method in comparison.methods if (gap := method.gap_without_event)
    ]  # fmt: skip
    blank = {method.method: method.no_gap for method in comparison.methods if method.no_gap}
    told = tuple(f"{name} has no stability gap: {reason}." for name, reason in blank.items())
    if not rows and not (still and blank):
        return Section("Stability gap", " ".join(told)) if told else None
    names, shown, gaps, depths = zip(*rows, *still, strict=True)
    counts = [f"{gap.events:,} of {gap.occurred:,}" if gap.occurred else f"{gap.events:,}" for gap in gaps[: len(rows)]]
    said = columns_in_words([[gap.depth] for gap in gaps], metric)
    cells = tuple(
        TableRow(name, (
            name, many, str(gap.depth.n), depth, wording.percent(gap.share), wording.step_interval(gap.duration),
            wording.percent(gap.regained), wording.amounts(gap.area),
        ))
        for name, many, gap, (depth,) in zip(names, [*counts, *["none"] * len(still)], gaps, said, strict=True)
    )  # fmt: skip
    cells += tuple(TableRow(name, (name, *[wording.MISSING] * 7)) for name in blank)
    columns = (
        "method", "evaluated events", "runs", f"depth{metric.words.removeprefix(metric.name)}",
        f"share of {metric.name}", f"{comparison.short_unit} until regained", "regained",
        f"area, {metric.name} × {comparison.short_unit}",
    )  # fmt: skip
    figure = rows_figure(
        zip(names, shown, [gap.depth for gap in gaps], strict=True), "Depth of the stability gap",
        f"{metric.words} {wording.by_direction(metric, 'lost', 'gained')}", metric,
        depths,
    )  # fmt: skip
    notes = (
        *ways((gap.depth for gap in gaps), f"Depth and share of the {metric.name} before"),
        *ways((gap.duration for gap in gaps), f"{comparison.short_unit.capitalize()} until regained"),
        *ways((gap.regained for gap in gaps), "Share of events regained"),
        *ways((gap.area for gap in gaps), "Area"),
        *told,
    )
    begins = any(own_boundaries(run.run) for method in comparison.own for run in method.runs)
    text, table = _gaps_in_words(metric, bool(still), begins), Table("Stability gaps", columns, cells)
    return Section("Stability gap", text, (figure,), (table,), notes)


def _gaps_in_words(metric: Metric, still: bool, phases: bool) -> str:
    falls, below, lower = (
        wording.by_direction(metric, *words) for words in (("falls", "rises"), ("below", "above"), ("lower", "higher"))
    )
    of_phases = (
        "Here, the beginning of each phase of the data counts as an event for every method. Whether the value is "
        "regained is judged only after updates on the new phase. "
    )
    text = (
        f"How far the {metric.name} {falls} {below} its value just before an event, and when it is regained, at most "
        "until the next event. Only events with an evaluation right before them and another one later, before the next "
        "event, are used; they may not be typical of the others. Each small dot is an event. A change between two "
        f"evaluations is not seen: if the {metric.name} after the event is not {lower} than the one before, depth and "
        f"duration are 0. The area lies between the {metric.name} just before the event and the curve, until it is "
        "regained, or else until the next event or the end; it says how much the event cost in all. "
        f'"Never": the {metric.name} was regained before the next event or the end in less than half of the events.'
    )
    nothing_done = (
        ' "Nothing done": the same measure at the branch of runs in which nothing was done, which shows how large it '
        "is from the noise of evaluations alone."
    )
    return (of_phases if phases else "") + text + (nothing_done if still else "")
