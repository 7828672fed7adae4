"""The report's sections on when returns get somewhere: to a threshold, and back after an event."""

import math

from ..analysis.results import Comparison, MethodResults, StabilityGap
from . import wording
from .figures import DARK, TRUNK, Look
from .score_figures import Row
from .sections import Looks, Section, Table, TableRow, columns_said, rows_figure, rows_of, ways

PRETENDED = Look(TRUNK, DARK[TRUNK], "o")  # where nothing was done


def threshold(comparison: Comparison, looks: Looks) -> Section | None:
    found = [(method, method.threshold) for method in comparison.methods if method.threshold]
    if comparison.threshold is None or not found:
        return None
    rows, cells = [], []
    for method, reached in found:
        when, share = reached.median_steps, reached.share
        count = f"{round(share.value * share.n)} of {share.n}"
        times = [run.steps_to_threshold for run in method.runs if run.steps_to_threshold is not None]
        ends = [float(run.steps[-1]) for run in method.runs if run.steps_to_threshold == math.inf]
        said = f"{wording.short_steps(when)}; {count}"
        rows.append(Row(method.method, looks[method.method], when, said, [t for t in times if t < math.inf], ends))
        cells.append(TableRow(method.method, (
            method.method, str(share.n), str(reached.already), count, wording.percent(share),
            wording.step_interval(when),
        )))  # fmt: skip
    branches = any(run.run.branch for method, _ in found for run in method.runs)
    columns = ["method", "n", "before the branch", "reached", "share", "median steps"]
    if not branches:
        del columns[2]
        cells = [TableRow(row.method, (*row.cells[:2], *row.cells[3:])) for row in cells]
    figure = rows_figure(rows, "Steps to the threshold, median", "environment steps", over_steps=True)
    table = Table("Runs that reached the threshold", tuple(columns), tuple(cells))
    notes = (*ways((r.median_steps for _, r in found), "Medians"), *ways((r.share for _, r in found), "Shares"))
    notes += ("The threshold is held fixed while runs are resampled, also where it was taken from these runs.",)
    return Section("Steps to a threshold", threshold_said(comparison, branches), (figure,), (table,), notes)


def threshold_said(comparison: Comparison, branches: bool) -> str:
    assert comparison.threshold is not None
    text = (
        f"Threshold: {wording.number(comparison.threshold.value)}, {comparison.threshold.meaning}. Dots: runs that "
        "reached it. Open arrows: runs that had not when they ended; they are censored there, not left out. "
        "Never: less than half reached it."
    )
    already = sum(method.threshold.already for method in comparison.methods if method.threshold)
    if branches:
        text += " Branches are looked at from the branch on, though steps are counted from the run's beginning."
    if already:
        text += (
            f" {wording.counted(already, 'run')} of {sum(m.n for m in comparison.methods)} had reached it before the "
            "branch: what is shown of them is when they were first there again."
        )
    return text


def gaps(comparison: Comparison, looks: Looks) -> Section | None:
    found = [(method, method.gap) for method in comparison.methods if method.gap]
    if not found:
        return None
    quiet = [(method, method.pretended) for method in comparison.methods if method.pretended]
    names = [method.method for method, _ in found] + [f"{method.method}, nothing done" for method, _ in quiet]
    shown = [looks[method.method] for method, _ in found] + [PRETENDED] * len(quiet)
    gaps = [gap for _, gap in (*found, *quiet)]
    dots = {method.method: [gap.depth for run in method.runs for gap in run.gaps] for method, _ in found}
    dots |= {name: _pretended(method) for name, (method, _) in zip(names[len(found) :], quiet, strict=True)}
    rows = rows_of([(name, look, gap.depth) for name, look, gap in zip(names, shown, gaps, strict=True)], dots)
    depths = columns_said([[gap.depth] for gap in gaps])
    cells = tuple(
        TableRow(name, (
            name, _events(gap, quiet_row=index >= len(found)), str(gap.depth.n), *depth, wording.percent(gap.share),
            wording.step_interval(gap.duration), wording.percent(gap.regained),
        ))
        for index, (name, gap, depth) in enumerate(zip(names, gaps, depths, strict=True))
    )  # fmt: skip
    columns = ("method", "evaluated events", "runs", "depth", "share of return", "steps until regained", "regained")
    text = (
        "How far the return falls below its value just before an event, and how long it stays there, until the next "
        "event at most. Only events with an evaluation right before and right after them count, which need not be "
        "typical of the others. Small dots are events. What falls and recovers between two evaluations is not seen: "
        "where the one after the event is no lower than the one before, the gap is 0 deep and 0 long. Never: of less "
        "than half of the events was the return seen to come back before the next event or the end."
    )
    if quiet:
        text += (
            " Nothing done: the same measure taken at the branch of runs in which nothing happened. That much "
            "the noise of evaluations alone brings about."
        )
    figure = rows_figure(rows, "Depth of the stability gap", "return lost")
    notes = (
        *ways((gap.depth for gap in gaps), "Depth and share of the return before"),
        *ways((gap.duration for gap in gaps), "Steps until regained"),
        *ways((gap.regained for gap in gaps), "Events regained"),
    )
    return Section("Stability gap", text, (figure,), (Table("Stability gaps", columns, cells),), notes)


def _events(gap: StabilityGap, quiet_row: bool) -> str:
    return "none" if quiet_row else f"{gap.events:,} of {gap.occurred:,}" if gap.occurred else f"{gap.events:,}"


def _pretended(method: MethodResults) -> list[float]:
    return [run.pretended.depth for run in method.runs if run.pretended is not None]
