"""Figures over environment steps: sample efficiency, and what networks lose on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .figures import GRID, INK, MUTED, PAPER, STYLE, Look, canvas, over_steps, shortened
from .records import Array
from .results import Across, Comparison, Curve, MeasureCurve, RunScores
from .statistics import Band

MOST_POINTS = 160  # of one line: a phone shows no more
FEW_POINTS = 40  # of one seed, up to which each is a dot


@dataclass(frozen=True)
class Panel:
    """What one set of axes shows: a curve for each method, and the runs that it is made of."""

    title: str
    ylabel: str
    curves: Mapping[str, Curve]
    runs: Mapping[str, Sequence[RunScores]] = field(default_factory=dict)
    branch_step: int | None = None
    levels: Mapping[str, float] = field(default_factory=dict)  # name: a return worth a line across

    @property
    def said(self) -> str:
        counts = sorted({curve.n for curve in self.curves.values()})
        return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "0"


def panel_of(comparison: Comparison) -> Panel:
    levels = {} if comparison.threshold is None else {"threshold": comparison.threshold.value}
    if comparison.references:
        levels |= {"random policy": comparison.references.random, "success": comparison.references.success}
    return Panel(
        f"{comparison.agent} · {comparison.env}",
        "return",
        {method.method: method.curve for method in comparison.methods if method.curve},
        {method.method: method.runs for method in comparison.methods},
        comparison.branch_step,
        levels,
    )


def panel_across(across: Across) -> Panel:
    title = f"{across.agent} · {len(across.envs)} environments"
    return Panel(title, "normalised score", {m.method: m.curve for m in across.methods if m.curve})


def draw_panel(axes: Any, panel: Panel, looks: Mapping[str, Look], aggregate: str = "iqm", runs: bool = True) -> None:
    """One aggregate of each method with its band; behind it, faintly, every run."""
    if panel.branch_step is not None:
        axes.axvline(panel.branch_step, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for name, results in panel.runs.items() if runs else ():
        for run in results:
            _draw_run(axes, run, looks[name])
    for name, curve in panel.curves.items():
        band: Band = getattr(curve, aggregate)
        keep = thinned(curve.steps.size)
        steps, value = curve.steps[keep], band.value[keep]
        look = looks[name]
        if band.bounded:
            axes.fill_between(steps, band.low[keep], band.high[keep], color=look.color, alpha=0.16, linewidth=0, zorder=3)
        axes.plot(
            steps, value, color=look.color, linewidth=1.9, linestyle=look.dashes, marker=look.marker, markersize=4.6,
            markeredgecolor=PAPER, markeredgewidth=0.6, markevery=_spread(steps.size, list(looks).index(name)), zorder=4,
        )  # fmt: skip
    low, high = axes.get_ylim()
    for name, level in panel.levels.items():
        if low < level < high:
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
            axes.annotate(
                name, (0, level), (3, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                fontsize=7.6, color=MUTED, zorder=5,
            )  # fmt: skip
    over_steps(axes)
    axes.set(xlabel="environment steps", ylabel=panel.ylabel)


def draw_curves(panel: Panel, looks: Mapping[str, Look], size: tuple[int, int], aggregate: str, runs: bool) -> Figure:
    figure, (axes,) = canvas(*size)
    draw_panel(axes, panel, looks, aggregate, runs)
    return figure


def draw_paper_figure(panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    """All panels, with a legend and everything that has to be said of them: `curves.png` and `curves.svg`."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    wide = 520 if columns == 1 else 430
    figure, axes = canvas(max(wide * columns, 640), 330 * rows + 110, rows, columns)
    for place, panel in zip(axes, panels, strict=False):
        draw_panel(place, panel, looks)
        place.set_title(f"{shortened(panel.title, 44)}  ({panel.said} runs)")
    for place in axes[len(panels) :]:
        place.set_axis_off()
    handles = [_handle(look, shortened(name)) for name, look in looks.items()]
    if any(panel.branch_step is not None for panel in panels):
        handles.append(Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="branch"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3 * columns), frameon=False)
    figure.suptitle("Interquartile mean and 95% band; thin lines: single runs", fontsize=9.2, color=MUTED)
    return figure


def draw_measure(curves: Mapping[str, MeasureCurve], looks: Mapping[str, Look], title: str, logarithmic: bool) -> Figure:
    """One measure of one network: the mean of the runs, and behind it their whole range."""
    figure, (axes,) = canvas(300, 215)
    for name, curve in curves.items():
        keep, look = thinned(curve.steps.size), looks[name]
        steps = curve.steps[keep]
        axes.fill_between(steps, curve.low[keep], curve.high[keep], color=look.color, alpha=0.13, linewidth=0)
        axes.plot(steps, curve.mean[keep], color=look.color, linewidth=1.5, linestyle=look.dashes)
    positive = [curve.mean[np.isfinite(curve.mean)] for curve in curves.values()]
    if logarithmic and all((values > 0).all() for values in positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(shortened(title, 48), loc="left", fontsize=STYLE["font.size"])
    over_steps(axes)
    axes.locator_params(axis="x", nbins=4)
    return figure


def thinned(size: int) -> Array:
    """Places of the points to draw, the first and the last among them."""
    return np.unique(np.linspace(0, max(size - 1, 0), min(size, MOST_POINTS)).round().astype(int))


def _spread(size: int, index: int) -> tuple[int, int]:
    """A few markers on each curve, of each method at other places, so that none hides another's."""
    every = max(1, size // 8)
    return (index * max(1, every // 3)) % every, every


def _handle(look: Look, label: str) -> Line2D:
    return Line2D(
        [], [], color=look.color, linewidth=1.9, linestyle=look.dashes, marker=look.marker, markersize=5,
        markeredgecolor=PAPER, markeredgewidth=0.6, label=label,
    )  # fmt: skip


def _draw_run(axes: Any, run: RunScores, look: Look) -> None:
    """Each evaluation once, and at an event the one before it too; runs that do not count are dotted."""
    before = [(step, value, 0) for step, value in run.before.items()]
    after = [(step, value, 1) for step, value in zip(run.steps.tolist(), run.returns.tolist(), strict=True)]
    points = np.array(sorted([*before, *after], key=lambda point: (point[0], point[2])), dtype=float).reshape(-1, 3)
    points = points[thinned(len(points))]
    dots = len(points) <= FEW_POINTS
    axes.plot(
        points[:, 0], points[:, 1], color=look.color, linewidth=0.7, alpha=0.35, marker="." if dots else None,
        markersize=2.6, markeredgewidth=0, linestyle="-" if run.counted else ":", zorder=2,
    )  # fmt: skip


