"""The report's sections on the runs: published results, events, measures of plasticity, wall time, and all runs."""

import math
import os
from pathlib import Path

from fire_rl.training.history import PANELS

from ..analysis.method_results import Gap
from ..analysis.records import EventRecord, NetworkChange
from ..analysis.results import Comparison
from . import wording
from .curve_figures import draw_measure
from .drawing import Looks, page_image
from .sections import Illustration, Section, Table, TableRow


def run_sections(comparison: Comparison, looks: Looks) -> list[Section]:
    """Return the sections on the runs of a comparison."""
    found = (_published(comparison), _events(comparison), _measures(comparison, looks), _cost(comparison))
    return [*(section for section in found if section), _runs(comparison)]


def _published(comparison: Comparison) -> Section | None:
    """Return the section on published results: their files, seeds and numbers of evaluations."""
    methods = [(method, method.published) for method in comparison.methods if method.published]
    if not methods:
        return None
    rows = []
    for method, file in methods:
        steps = [run.steps for run in method.runs]
        last = [float(run.values[-1]) for run in method.runs]
        rows.append(TableRow(method.method, (
            method.method, str(len(method.runs)), wording.ranges(run.run.seed for run in method.runs),
            wording.plural(min(map(len, steps)), "evaluation"), f"{max(each[-1] for each in steps):,.0f}",
            wording.in_unit(sum(last) / len(last), comparison.metric), str(wording.place(file)),
        )))  # fmt: skip
    columns = ("method", "n", "seeds", "per seed", "last step", "mean at the last step", "file")
    text = (
        "These results were made by others. They were read from the files below and are shown up to the last step of "
        "the runs here. They share no trunk, and perhaps not all settings, with the runs here, so differences to them "
        "are not computed: compare the intervals, and read the notes on the differences in protocol."
    )
    table = Table("Published results", columns, tuple(rows), words=(2, 3, 6))
    return Section("Published results", text, (), (table,))


def _events(comparison: Comparison) -> Section | None:
    methods = [(method.method, method.events) for method in comparison.methods if method.events]
    if not methods:
        return None
    repaired = any(math.isfinite(each.error_repaired) for _, events in methods for each in events.networks)
    rows = tuple(
        TableRow(name, (
            name, str(events.runs), str(events.count), network.name, wording.amount(network.squared_frobenius_error),
            wording.amount(network.deviation_before), wording.amount(network.deviation_after),
            *([wording.amount(network.error_unrepaired), wording.amount(network.error_repaired)] if repaired else []),
            wording.duration(events.seconds),
        ))
        for name, events in methods
        for network in events.networks
    )  # fmt: skip
    errors = ("output error without repair", "output error") if repaired else ()
    columns = ("method", "runs", "events", "network", "SFE", "DfI before", "DfI after", *errors, "time of an event")
    gaps = {
        (method.method, run.run.seed, gap.step): gap
        for method in comparison.methods for run in method.runs for gap in run.gaps
    }  # fmt: skip
    single = tuple(
        _event_row(comparison, name, seed, record, gaps.get((name, seed, record.step)))
        for name, events in methods for seed, record in events.listed
    )  # fmt: skip
    unlisted = sum(events.count - len(events.listed) for _, events in methods)
    caption = f"{wording.plural(len(single), 'event')}, one by one"
    caption += f"; {unlisted:,} more in metrics.jsonl" if unlisted else ""
    lost = f"{comparison.metric.name} {wording.by_direction(comparison.metric, 'lost', 'gained')}"
    heads = ("method", "seed", "step", "cause", lost, "regained after", "networks: SFE, DfI before → after")
    tables = (Table("Means of an event", columns, rows), Table(caption, heads, single, True, (3, 6)))
    text = (
        "SFE is the squared Frobenius error: how much an event changed the weights. DfI is the deviation from "
        "isometry: it is 0 if every weight matrix, divided by its published scale, is an isometry. Both are sums over "
        "a network's matrices."
    )
    if repaired:
        text += (
            " The output error is the mean square of the change of a network's outputs, divided by their variance "
            "before the event, on inputs that were not used for the repair: 0 is no change, 1 is as much as they vary."
        )
    return Section("Events", text, (), tables)


def _event_row(comparison: Comparison, method: str, seed: int, record: EventRecord, gap: Gap | None) -> TableRow:
    changes = "; ".join(
        f"{network.name}: {wording.amount(network.squared_frobenius_error)}, "
        f"{wording.amount(network.deviation_before)} → {wording.amount(network.deviation_after)}"
        f"{_repaired(network)}"
        for network in record.networks
    )
    lost = wording.in_unit(gap.depth if gap else None, comparison.metric)
    back = wording.steps(gap.duration if gap else None)
    return TableRow(method, (method, str(seed), f"{record.step:,}", record.cause, lost, back, changes))


def _repaired(network: NetworkChange) -> str:
    if not math.isfinite(network.error_repaired):
        return ""
    return f", error {wording.amount(network.error_unrepaired)} → {wording.amount(network.error_repaired)}"


def _measures(comparison: Comparison, looks: Looks) -> Section | None:
    curves = {
        (curve.network, curve.measure, method.method): curve
        for method in comparison.methods
        for curve in method.measures
    }
    figures = []
    for network in dict.fromkeys(network for network, *_ in curves):
        for measure, meaning, logarithmic in PANELS:
            shown = {name: curve for (net, what, name), curve in curves.items() if (net, what) == (network, measure)}
            if not shown:
                continue
            ends = "; ".join(f"{name} {wording.number(float(curve.mean[-1]))}" for name, curve in shown.items())
            title = f"{network}: {meaning}"
            figure = draw_measure(comparison, shown, looks, title, logarithmic)
            alt = f"{title}, over {comparison.unit}. At the end: {ends}"
            figures.append(Illustration(page_image(figure, alt, [looks[name] for name in shown])))
    if not figures:
        return None
    text = (
        f"Lines: mean of the runs over {comparison.unit}. Shaded: from the lowest to the highest run, which is not a "
        "confidence interval."
    )
    used = tuple(method.method for method in comparison.methods if method.measures)
    return Section("Measures of plasticity", text, tuple(figures), (), (), used, small=True)


def _cost(comparison: Comparison) -> Section | None:
    methods = [(method.method, method.cost) for method in comparison.methods if method.cost]
    if not methods:
        return None
    rows = tuple(
        TableRow(name, (
            name, str(cost.n), wording.duration(cost.seconds.mean),
            f"{wording.duration(cost.seconds.low)} to {wording.duration(cost.seconds.high)}",
            wording.duration(cost.own_seconds), wording.number(cost.updates_per_second.mean),
            f"{wording.number(cost.updates_per_second.low)} to {wording.number(cost.updates_per_second.high)}",
        ))
        for name, cost in methods
    )  # fmt: skip
    columns = ("method", "n", "wall time", "lowest to highest", "without the trunk", "updates/s", "lowest to highest")
    text = "Means over the runs, including the time of evaluations. Runs that shared a processor are slower."
    return Section("Wall time", text, (), (Table("Wall time and speed", columns, rows),))


def _runs(comparison: Comparison) -> Section:
    rows = [(method.method, run) for method in comparison.own for run in method.runs]
    above = os.path.commonpath([run.run.folder.parent for _, run in rows])
    metric, normalised = comparison.metric, comparison.references is not None
    columns = ("method", "seed", "state", "final", "area", *(("normalised",) if normalised else ()))
    columns += (f"{comparison.short_unit} to threshold", "wall time", "folder")
    cells = tuple(
        TableRow(method, (
            method, str(run.run.seed), wording.ended(run.run, share=True), wording.in_unit(run.final, metric),
            wording.in_unit(run.area, metric), *((wording.number(run.normalised),) if normalised else ()),
            wording.steps(run.steps_to_threshold), wording.duration(run.run.seconds),
            os.path.relpath(run.run.folder, above),
        ))
        for method, run in rows
    )  # fmt: skip
    table = Table("Runs", columns, cells, words=(2, len(columns) - 1))
    return Section("Every run", f"The folders are in {wording.place(Path(above))}.", (), (table,))
