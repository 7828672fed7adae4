"""Draw the values of each phase over steps: what a network has learned of each phase's examples, and forgotten."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .curve import uncluttered, write_figure
from .history import History
from .metric import Metric

Array = NDArray[np.float64]

MOST_LINES = 60  # with more boundaries of phases than this, lines would hide the picture and are not drawn
MOST_NAMED = 12  # the largest number of rows that are labelled


def draw_phases(history: History, folder: Path, title: str, starts: Sequence[int] = ()) -> Path | None:
    """Write `phases.png`: a row for each phase, a column for each evaluation; None if there are fewer than two.

    `starts` are the steps at which the phases after the first begin.
    """
    points = history.phases.points()
    if len(points) < 2:
        return None
    steps = np.array([step for step, _ in points], dtype=float)
    values = rows_of([each for _, each in points])
    metric = history.reader.metric
    figure = Figure(figsize=(8, min(8.0, 1.9 + 0.3 * len(values))), layout="constrained")
    axes = figure.subplots()
    mesh = draw_matrix(axes, steps, values, starts, metric, scale_of([values], metric))
    axes.set(xlabel=history.reader.progress.replace("_", " "), ylabel="phase", title=title)
    uncluttered(axes)
    axes.grid(False)
    figure.colorbar(mesh, ax=axes, label=metric.words)
    return write_figure(figure, folder / "phases.png")


def rows_of(columns: Sequence[Sequence[float]]) -> Array:
    """Return a matrix with a row for each phase, with NaN where an evaluation has no value of that phase."""
    values = np.full((max(map(len, columns), default=0), len(columns)), np.nan)
    for place, column in enumerate(columns):
        values[: len(column), place] = column
    return values


def scale_of(matrices: Sequence[Array], metric: Metric) -> Normalize:
    """Return one scale of colours for all matrices, in units of the printed numbers."""
    finite = np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices]) * metric.scale
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1.0)


def draw_matrix(
    axes: Any, steps: Array, values: Array, starts: Sequence[int], metric: Metric, scale: Normalize,
    colors: tuple[str, str] = ("white", "black"),
) -> Any:  # fmt: skip
    """Draw the matrix; brighter is better. Vertical lines show where each phase begins, and a staircase separates the
    phases that had begun by then from later ones.

    A column reaches half way to the evaluations beside it. Of two evaluations at one step, before and after an event,
    the first ends at this step and the second begins there. The colours `viridis` are readable for colour-blind
    readers and in grey.
    """
    edges = np.concatenate([steps[:1], (steps[:-1] + steps[1:]) / 2, steps[-1:]])
    rows = np.arange(len(values) + 1) + 0.5
    mesh = axes.pcolormesh(
        edges, rows, metric.scale * values, norm=scale, cmap="viridis" if metric.better == "higher" else "viridis_r",
        rasterized=True,
    )  # fmt: skip
    shown = [start for start in starts if steps[0] < start < steps[-1]]
    if 0 < len(shown) <= MOST_LINES:
        stairs = np.repeat([steps[0], *shown, steps[-1]], 2)[1:-1], np.repeat(np.arange(len(shown) + 1) + 1.5, 2)
        for color, wide in zip(colors, (2.4, 0.9), strict=True):  # two colours, so that one is visible on any ground
            axes.vlines(shown, *rows[[0, -1]], color=color, linewidth=wide / 2, linestyle=(0, (1, 1.5)))
            axes.plot(*stairs, color=color, linewidth=wide)
    axes.set_ylim(rows[-1], rows[0])
    named = np.unique(np.linspace(1, len(values), min(len(values), MOST_NAMED)).round().astype(int))
    axes.set_yticks(named)
    return mesh
