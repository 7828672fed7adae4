"""Figures of returns over environment steps: sample efficiency, all methods together and each by itself.

Branches of the same trunks have one history. It is drawn once, in grey, and methods from the branch on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.atari_scores import RANDOM_AND_HUMAN

from ..analysis.records import Array
from ..analysis.results import Across, Comparison, Curve, RunScores
from ..analysis.statistics import Band, Interval
from .figures import FAINT, MUTED, PAPER, TRUNK, WIDTH, Look, canvas, over_steps, shortened
from .wording import runs_of

MOST_POINTS = 160  # of one line: a phone shows no more
FEW_POINTS = 40  # of one run, up to which each is a dot
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))


@dataclass(frozen=True)
class Panel:
    """What one set of axes shows: a curve for each method, and the runs that it is made of."""

    title: str
    ylabel: str
    curves: Mapping[str, Curve]
    runs: Mapping[str, Sequence[RunScores]] = field(default_factory=dict)
    branch_step: int | None = None
    trunk: str | None = None  # method whose curve is everybody's up to the branch
    levels: Mapping[str, float] = field(default_factory=dict)  # name: a return worth a line across

    @property
    def counts(self) -> str:
        counts = sorted({curve.n for curve in self.curves.values()})
        if len(counts) == 1:
            return f"n = {runs_of(next(iter(self.curves.values())).iqm)}"
        return f"n = {counts[0]} to {counts[-1]}" if counts else "n = 0"


def panel_of(comparison: Comparison) -> Panel:
    levels = {} if comparison.threshold is None else {"threshold": comparison.threshold.value}
    if comparison.references:
        success = "human" if comparison.env in RANDOM_AND_HUMAN else "success"
        levels |= {"random policy": comparison.references.random, success: comparison.references.success}
    return Panel(
        f"{comparison.agent} · {comparison.env}",
        "return",
        {method.method: method.curve for method in comparison.methods if method.curve},
        {method.method: method.runs for method in comparison.methods},
        comparison.branch_step,
        trunk_of(comparison),
        levels,
    )


def panel_across(across: Across, comparisons: Sequence[Comparison]) -> Panel:
    inside = [each for each in comparisons if each.agent == across.agent and each.env in across.envs]
    steps, trunks = {each.branch_step for each in inside}, {trunk_of(each) for each in inside}
    curves = {method.method: method.curve for method in across.methods if method.curve}
    together = len(steps) == 1 and len(trunks) == 1
    branch, trunk = (inside[0].branch_step, trunk_of(inside[0])) if together else (None, None)
    title = f"{across.agent} · together"
    return Panel(title, "normalised score", curves, {}, branch, trunk if trunk in curves else None)


def trunk_of(comparison: Comparison) -> str | None:
    """The method whose runs have every trunk, where all runs are branches made at one step; the baseline, if it has."""
    if comparison.branch_step is None:
        return None
    trunks = {
        method.method: {run.run.branch.trunk for run in method.runs if run.run.branch and run.counted}
        for method in comparison.methods if method.curve
    }  # fmt: skip
    everything = set().union(*trunks.values())
    return next((name for name, own in trunks.items() if own == everything), None)


def draw_curves(panel: Panel, looks: Mapping[str, Look], size: tuple[int, int], aggregate: str, runs: bool) -> Figure:
    figure, (axes,) = canvas(*size)
    draw_panel(axes, panel, looks, aggregate, runs)
    return figure


def draw_panel(axes: Any, panel: Panel, looks: Mapping[str, Look], aggregate: str = "iqm", runs: bool = True) -> None:
    """One aggregate of each method with its band; behind it, faintly, every run."""
    _draw_branch(axes, panel)
    for name, results in panel.runs.items() if runs else ():
        for run in results:
            _draw_run(axes, panel, name, run, looks[name], 0.3)
    _draw_trunk(axes, panel, aggregate)
    for index, name in enumerate(panel.curves):
        _draw_curve(axes, panel, name, looks[name], aggregate, index)
    _draw_levels(axes, panel)
    over_steps(axes)
    axes.set(xlabel="environment steps", ylabel=panel.ylabel)


def draw_method(panel: Panel, name: str, looks: Mapping[str, Look], limits: tuple[float, float]) -> Figure:
    """One method's runs, plain to see, its IQM and band; the other methods' IQMs in grey."""
    figure, (axes,) = canvas(300, 215)
    draw_method_panel(axes, panel, name, looks)
    axes.set_ylim(*limits)
    axes.set_title(f"{shortened(name)}, n = {panel.curves[name].n}", loc="left", fontsize=8.6)
    return figure


def draw_method_panel(axes: Any, panel: Panel, name: str, looks: Mapping[str, Look]) -> None:
    _draw_branch(axes, panel)
    for other, curve in panel.curves.items():
        if other != name:
            part = _part(curve.steps, (panel.branch_step or 0) if panel.trunk else -math.inf)
            axes.plot(curve.steps[part], curve.iqm.value[part], color=FAINT, linewidth=1, zorder=1.5)
    for run in panel.runs.get(name, ()):
        _draw_run(axes, panel, name, run, looks[name], 0.6)
    _draw_trunk(axes, panel, "iqm")
    _draw_curve(axes, panel, name, looks[name], "iqm", None)
    over_steps(axes)
    axes.locator_params(axis="x", nbins=4)


def limits_of(panel: Panel) -> tuple[float, float]:
    """Of all returns, so that panels beside each other can be compared."""
    values = [run.returns for runs in panel.runs.values() for run in runs]
    values += [np.array(list(run.before.values())) for runs in panel.runs.values() for run in runs]
    values += [bound for curve in panel.curves.values() for bound in (curve.iqm.low, curve.iqm.high, curve.iqm.value)]
    shown = np.concatenate(values)
    shown = shown[np.isfinite(shown)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def thinned(size: int) -> NDArray[np.int64]:
    """Places of the points to draw, the first and the last among them."""
    return np.unique(np.linspace(0, max(size - 1, 0), min(size, MOST_POINTS)).round().astype(int))


def _draw_branch(axes: Any, panel: Panel) -> None:
    if panel.branch_step is not None:
        axes.axvline(panel.branch_step, color=MUTED, linewidth=0.9, linestyle=DASHED, zorder=1)


def _draw_curve(axes: Any, panel: Panel, name: str, look: Look, aggregate: str, markers: int | None) -> None:
    """One method's aggregate and band; falls thin. `markers`: its place among the methods, so that none hides them."""
    curve = panel.curves[name]
    first = panel.branch_step if panel.trunk is not None and panel.branch_step is not None else -math.inf
    steps, value, low, high = _points(panel, name, aggregate, first, math.inf)
    axes.fill_between(steps, low, high, color=look.color, alpha=0.11, linewidth=0, zorder=3)
    breaks = np.flatnonzero(np.diff(steps) == 0) + 1
    thick = np.insert(steps, breaks, np.nan), np.insert(value, breaks, np.nan)
    axes.plot(*thick, color=look.color, linewidth=1.9 if markers is not None else 1.5, linestyle=look.dashes, zorder=4)
    if breaks.size:
        axes.vlines(steps[breaks], value[breaks - 1], value[breaks], color=look.color, linewidth=0.9, zorder=3.8)
    if markers is not None:
        part = _part(curve.steps, first)
        part = part[slice(*_spread(part.size, markers))]
        axes.plot(
            curve.steps[part], getattr(curve, aggregate).value[part], color=look.color, linestyle="none",
            marker=look.marker, markersize=4.6, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=4.5,
        )  # fmt: skip


def _draw_trunk(axes: Any, panel: Panel, aggregate: str) -> None:
    """What all methods have in common, up to the branch; at the branch itself only what was there before any event."""
    if panel.trunk is None or panel.branch_step is None:
        return
    changed = any(panel.branch_step in run.before for run in panel.runs.get(panel.trunk, ()))
    steps, value, low, high = _points(panel, panel.trunk, aggregate, -math.inf, panel.branch_step)
    kept = slice(None, -1 if changed and steps.size and steps[-1] == panel.branch_step else None)
    axes.fill_between(steps[kept], low[kept], high[kept], color=TRUNK, alpha=0.18, linewidth=0, zorder=3)
    axes.plot(steps[kept], value[kept], color=TRUNK, linewidth=1.9, zorder=3.5)


def _points(panel: Panel, name: str, aggregate: str, first: float, last: float) -> tuple[Array, Array, Array, Array]:
    """Steps, values and bounds to draw, as many as can be seen; at an event two, the one before it first."""
    curve = panel.curves[name]
    band: Band = getattr(curve, aggregate)
    inside = np.flatnonzero((curve.steps >= first) & (curve.steps <= last))
    places = set(inside[thinned(inside.size)].tolist())
    places |= set([place for place in inside.tolist() if curve.steps[place] in curve.before][:FEW_POINTS])
    points: list[tuple[float, float, float, float]] = []
    for place in sorted(places):
        step = float(curve.steps[place])
        if step in curve.before:
            known: Interval = getattr(curve.before[step], aggregate)
            points.append((step, known.value, known.low, known.high))
        points.append((step, float(band.value[place]), float(band.low[place]), float(band.high[place])))
    steps, value, low, high = np.array(points, dtype=float).reshape(-1, 4).T
    return steps, value, low, high


def _draw_run(axes: Any, panel: Panel, name: str, run: RunScores, look: Look, alpha: float) -> None:
    """Each evaluation once, and at an event the one before it too; runs that do not count are dotted."""
    before = [(step, value, 0) for step, value in run.before.items()]
    after = [(step, value, 1) for step, value in zip(run.steps.tolist(), run.returns.tolist(), strict=True)]
    points = np.array(sorted([*before, *after], key=lambda point: (point[0], point[2])), dtype=float).reshape(-1, 3)
    pieces = [(points, look.color)]
    if panel.trunk is not None and panel.branch_step is not None:
        pieces = [(points[points[:, 0] >= panel.branch_step], look.color)]
        history = points[points[:, 0] <= panel.branch_step]
        if (history[:, 0] == panel.branch_step).sum() > 1:
            history = history[:-1]  # without what the event did
        if name == panel.trunk or alpha > 0.5:
            pieces.append((history, TRUNK))
    if run.run.diverged and run.counted:
        place = run.run.diverged.environment_steps, run.returns[-1]
        axes.plot(*place, color=look.color, marker="x", markersize=6, markeredgewidth=1.6, linestyle="none", zorder=4.6)
    for piece, color in pieces:
        shown = piece[thinned(len(piece))]
        axes.plot(
            shown[:, 0], shown[:, 1], color=color, linewidth=0.7, alpha=alpha, markersize=2.6, markeredgewidth=0,
            marker="." if len(shown) <= FEW_POINTS else None, linestyle="-" if run.counted else ":", zorder=2,
        )  # fmt: skip


def _draw_levels(axes: Any, panel: Panel) -> None:
    """Returns worth knowing, where they are among those drawn."""
    low, high = axes.get_ylim()
    ends = np.array([[curve.iqm.value[0], curve.iqm.value[-1]] for curve in panel.curves.values()])
    for name, level in panel.levels.items():
        if ends.size and low < level < high:
            away = np.nanmin(np.abs(ends - level), axis=0)
            right = bool(away[1] > away[0])  # where the curves are not
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            axes.annotate(
                name, (1 if right else 0, level), (-3 if right else 3, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=7.6, color=MUTED, zorder=5, ha="right" if right else "left",
            )  # fmt: skip


def _part(steps: Array, first: float) -> NDArray[np.int64]:
    """Places of the points to draw, from a step on."""
    found = np.flatnonzero(steps >= first)
    return found[thinned(found.size)]


def _spread(size: int, index: int) -> tuple[int, None, int]:
    """A few markers on each curve, of each method at other places, so that none hides another's."""
    every = max(1, size // 6)
    return (index * max(1, every // 3)) % every, None, every


NARROW, LOW, WIDE = (WIDTH, 290), (WIDTH, 225), (900, 400)
