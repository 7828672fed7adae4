"""Draws the metric on each phase's examples over time: a row for each phase, with one colour scale for all methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fire_rl.training.metric import Metric
from fire_rl.training.phase_picture import draw_matrix, scale_of

from ..analysis.phases import PhaseMatrix
from ..analysis.results import Comparison
from .drawing import COLUMNS, INK, PAPER, PIXEL, canvas, over_steps, shortened

LEAST_COLUMNS = 2  # with fewer evaluations there is no picture


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
