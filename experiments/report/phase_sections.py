"""The report's sections on data that comes in phases: values phase by phase, forgetting, and other examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fire_rl.training.metric import Metric
from fire_rl.training.phase_picture import draw_matrix, scale_of

from ..analysis.method_results import MethodResults
from ..analysis.phases import PhaseMatrix, ends_of
from ..analysis.results import Comparison
from . import wording
from .curve_figures import draw_measure
from .drawing import COLUMNS, INK, PAPER, PIXEL, Looks, canvas, over_steps, page_image, shortened
from .score_sections import figure_and_table
from .sections import Illustration, Section, Table, TableRow, columns_in_words, ways

LEAST_COLUMNS = 2  # with fewer evaluations there is no picture
MOST_SHOWN = 20  # phases in a table
EXAMPLES = {
    "training": "on training examples of the phases so far",
    "validation": "on examples that are held out from training in order to choose settings",
    "seen": "on the test examples of the phases so far",
}


@dataclass(frozen=True, eq=False)
class Panel:
    """One method in one comparison."""

    method: str
    where: str
    unit: str
    metric: Metric
    matrix: PhaseMatrix
    starts: tuple[int, ...]  # the steps at which all phases except the first begin
    scale: Normalize  # the colour scale of the whole comparison


def phase_sections(comparison: Comparison, looks: Looks) -> list[Section]:
    """Return the sections on phases; none if the data has no phases."""
    found = (_phase_by_phase(comparison, looks), _over_phases(comparison, looks), _elsewhere(comparison, looks))
    return [section for section in found if section]


def tested_apart(comparison: Comparison) -> bool:
    """Return whether phases have their own test examples, which show what was forgotten."""
    return all(run.run.tested_apart for method in comparison.own for run in method.runs)


def _phase_by_phase(comparison: Comparison, looks: Looks) -> Section | None:
    panels = panels_of(comparison)
    if not panels:
        return None
    metric, unit = comparison.metric, comparison.unit
    figures = []
    for panel in panels:
        values = panel.matrix.mean[:, -1].tolist()
        last = ", ".join(wording.in_unit(values[row], metric) for row in _places(len(values)))
        alt = f"{panel.method}, n = {panel.matrix.n}: {metric.name} of each phase over {unit}. At the end: {last}"
        figures.append(Illustration(page_image(draw_panel(panel), alt, [looks[panel.method]])))
    examples = (
        "the test examples of each phase, such as those of its classes" if tested_apart(comparison) else
        "the training examples of each phase, which shows how well they are fitted, but nothing about new examples"
    )  # fmt: skip
    text = (
        f"Rows are phases of the data, columns are evaluations. The colour is the mean {metric.name} of the runs on "
        f"{examples}. Brighter is better; all methods have the same scale. Vertical lines: where a phase begins. "
        "Below the stepped line: phases that had not begun yet."
    )
    ends = ends_of(comparison.own[0].runs[0].run)
    tables = tuple(_ends_table(panels, metric, each) for each in ((ends, None) if len(ends) > 1 else (None,)))
    rows = max(len(panel.matrix.mean) for panel in panels)
    note = f"The tables show {MOST_SHOWN} of {rows} phases; phases.csv contains all of them."
    return Section("Phase by phase", text, tuple(figures), tables, (note,) if rows > MOST_SHOWN else (), small=True)


def _ends_table(panels: Sequence[Panel], metric: Metric, ends: Sequence[int] | None) -> Table:
    """Return the table of each phase's value at its own end, given in `ends`, or at the end of the run."""
    matrices = {panel.method: panel.matrix for panel in panels}
    shown = _places(max(len(matrix.mean) for matrix in matrices.values()))
    rows = tuple(
        TableRow(name, (name, str(matrix.n), *(wording.in_unit(_at(matrix, row, ends), metric) for row in shown)))
        for name, matrix in matrices.items()
    )
    when = "at the end of the run" if ends is None else "at the end of that phase, before any event there"
    columns = ("method", "n", *(f"phase {row + 1}" for row in shown))
    return Table(f"{metric.name[0].upper()}{metric.name[1:]} of each phase's examples {when}, mean", columns, rows)


def _at(matrix: PhaseMatrix, row: int, ends: Sequence[int] | None) -> float | None:
    if row >= len(matrix.mean) or (ends is not None and row >= len(ends)):
        return None
    place = len(matrix.steps) - 1 if ends is None else int(np.searchsorted(matrix.steps, ends[row]))
    if ends is not None and (place >= len(matrix.steps) or matrix.steps[place] != ends[row]):
        return None
    return float(matrix.mean[row, place])


def _places(count: int) -> list[int]:
    """Return the phases that a table shows, including the first and the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_SHOWN)).tolist()})


def _over_phases(comparison: Comparison, looks: Looks) -> Section | None:
    metric, parts, text = comparison.metric, [], list[str]()
    mean = {m.method: m.over_phases for m in comparison.methods if m.over_phases}
    forgotten = {m.method: m.forgetting for m in comparison.methods if m.forgetting}
    if mean:
        title, runs = f"Mean {metric.name} over phases", _of_runs(comparison, "mean")
        parts.append(figure_and_table(title, metric.words, comparison, looks, mean, runs))
        text.append(
            f"Mean over phases: the mean of the {metric.name} at the end of each phase, before any event there. The "
            "final value, in contrast, is only that of the last phase."
        )
    if forgotten:
        label, runs = f"{metric.words} forgotten", _of_runs(comparison, "forgetting")
        parts.append(figure_and_table("Forgetting", label, comparison, looks, forgotten, runs, line=0.0))
        best = wording.by_direction(metric, "highest", "lowest")
        text.append(
            f"Forgetting: for each phase except the last, the {best} {metric.name} on its test examples at the ends of "
            "phases from its own on is compared with that at the end of the run. Forgetting is the mean difference "
            "over these phases. Less is better; a value below 0 means that later phases helped."
        )
    if not parts:
        return None
    if not forgotten and not tested_apart(comparison):
        text.append("Here, phases have no test examples of their own, so forgetting cannot be measured.")
    title = " and ".join([*(["mean over phases"] if mean else []), *(["forgetting"] if forgotten else [])])
    figures, tables = zip(*parts, strict=True)
    notes = ways(each.iqm for each in (*mean.values(), *forgotten.values()))
    return Section(title.capitalize(), " ".join([*text, "Each small dot is a run."]), figures, tables, notes)


def _unit(metric: Metric) -> str:
    return metric.words.removeprefix(metric.name)


def _of_runs(comparison: Comparison, score: str) -> dict[str, list[float]]:
    """Return a score in `RunPhases` of each method's runs, as far as it is known."""
    found = {m.method: [getattr(run.phases, score) for run in m.finished if run.phases] for m in comparison.methods}
    return {name: [value for value in values if value is not None] for name, values in found.items()}


def _elsewhere(comparison: Comparison, looks: Looks) -> Section | None:
    metric = comparison.metric
    curves = {(curve.measure, m.method): curve for m in comparison.methods for curve in m.also_curves}
    names = list(dict.fromkeys(name for name, _ in curves))
    if not names:
        return None
    figures = []
    for name in names:
        shown = {method: curve for (which, method), curve in curves.items() if which == name}
        ends = "; ".join(f"{method} {wording.in_unit(float(c.mean[-1]), metric)}" for method, c in shown.items())
        title = f"{_words(name)}{_unit(metric)}"
        figure = draw_measure(comparison, shown, looks, title, False, metric)
        alt = f"{title}, over {comparison.unit}. At the end: {ends}"
        figures.append(Illustration(page_image(figure, alt, [looks[method] for method in shown])))
    kinds = [(name, name.partition("_")[0]) for name in names]
    meanings = "; ".join(f"{_words(name)}, {EXAMPLES[kind]}" for name, kind in kinds if kind in EXAMPLES)
    text = (
        f"{meanings[0].upper()}{meanings[1:]}. Lines: mean of the runs over {comparison.unit}. "
        "Shaded: from the lowest to the highest run, which is not a confidence interval."
    )
    scored = [method for method in comparison.methods if method.also]
    tables = (_finals(scored, names, metric),) if scored else ()
    used = tuple(dict.fromkeys(method for _, method in curves))
    notes = ways(each.iqm for method in scored for each in method.also.values())
    title = f"{metric.name.capitalize()} on other examples"
    return Section(title, text, tuple(figures), tables, notes, used, small=True)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _finals(scored: Sequence[MethodResults], names: Sequence[str], metric: Metric) -> Table:
    """Return the table of all final values on other examples, each computed as the final score is."""
    found = [[each.iqm if each else None for each in map(method.also.get, names)] for method in scored]
    rows = tuple(
        TableRow(method.method, (method.method, str(method.n), *cells))
        for method, cells in zip(scored, columns_in_words(found, metric), strict=True)
    )
    return Table(f"Final values{_unit(metric)}, IQM", ("method", "n", *map(_words, names)), rows)


# Figures, with a row for each phase and one colour scale for all methods


def panels_of(comparison: Comparison) -> list[Panel]:
    """Return one panel for each method that was evaluated phase by phase."""
    found = [
        (method, method.phases)
        for method in comparison.own if method.phases and len(method.phases.steps) >= LEAST_COLUMNS
    ]  # fmt: skip
    metric = comparison.metric
    scale = scale_of([matrix.mean for _, matrix in found], metric) if found else Normalize()
    return [
        Panel(
            method.method, comparison.where, comparison.unit, metric, matrix,
            tuple(dict.fromkeys(start for run in method.runs for start in run.run.phase_starts)), scale,
        )
        for method, matrix in found
    ]  # fmt: skip


def draw_panel(panel: Panel) -> Figure:
    """Draw one panel as a figure of the page."""
    figure, (axes,) = canvas(300, min(330, 110 + 16 * len(panel.matrix.mean)))
    _draw(figure, axes, panel, f"{shortened(panel.method, 30)}, n = {panel.matrix.n}")
    return figure


def draw_panels(panels: Sequence[Panel], width: str = "double") -> Figure:
    """Draw all panels as one figure for a paper."""
    columns = min(len(panels), 3 if width == "double" else 1)
    rows = -(-len(panels) // columns)
    tall = min(2.6, 1.15 + 0.09 * max(len(panel.matrix.mean) for panel in panels))
    figure, axes = canvas(round(COLUMNS[width] / PIXEL), round(tall * rows / PIXEL), rows, columns)
    several = len({panel.where for panel in panels}) > 1
    for place, panel in zip(axes, panels, strict=False):
        name = f"{panel.where}: {panel.method}" if several else panel.method
        _draw(figure, place, panel, shortened(name, 34 if columns == 3 else 48))
    for place in axes[len(panels) :]:
        place.set_visible(False)
    return figure


def _draw(figure: Figure, axes: Any, panel: Panel, title: str) -> None:
    matrix = panel.matrix
    mesh = draw_matrix(axes, matrix.steps, matrix.mean, panel.starts, panel.metric, panel.scale, (PAPER, INK))
    over_steps(axes)
    axes.margins(x=0)
    axes.grid(False)
    axes.locator_params(axis="x", nbins=4)
    axes.set(xlabel=panel.unit, ylabel="phase")
    axes.set_title(title, loc="left")
    figure.colorbar(mesh, ax=axes, label=panel.metric.words)
