"""Draws figures over the steps: learning curves of all methods and of each method, and measures of plasticity.

Branches of the same trunks share one history. It is drawn once, in grey; the methods are drawn from the branch on.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from fire_rl import envs
from fire_rl.training.metric import Metric

from ..analysis.method_results import MeasureCurve, RunScores
from ..analysis.records import Array
from ..analysis.results import Compared, Comparison
from ..analysis.statistics import Band, Interval
from .drawing import FAINT, MUTED, PAPER, TRUNK, Look, Looks, canvas, mark_branch, over_steps, printed_in, shortened
from .wording import runs_of

MOST_POINTS = 160  # in one line; a phone cannot show more
FEW_POINTS = 40  # up to this many points, those of a run are drawn as dots
DOTTED = (0, (1, 2))
WIDE_SPREAD = 5  # the axis is logarithmic if the largest value is more than this many times the smallest


def runs_each(compared: Compared) -> str:
    """Return the number of runs of the curves in words: "n = 5", or "n = 3 to 5"."""
    curves = list(compared.curves.values())
    counts = sorted({curve.iqm.n for curve in curves} or {0})
    return f"n = {counts[0]} to {counts[-1]}" if len(counts) > 1 else f"n = {runs_of(curves[0].iqm) if curves else 0}"


def levels_of(compared: Compared) -> dict[str, float]:
    """Return the values that are drawn as horizontal lines, by name."""
    if not isinstance(compared, Comparison):
        return {}
    levels = {} if compared.threshold is None else {"threshold": compared.threshold.value}
    if compared.references:
        success = "human" if envs.is_atari(compared.env) else "success"
        levels |= {"random policy": compared.references.random, success: compared.references.success}
    return levels


def draw_curves(compared: Compared, looks: Looks, size: tuple[int, int], aggregate: str, runs: bool) -> Figure:
    """Draw the learning curves of all methods as a figure of this size in pixels."""
    figure, (axes,) = canvas(*size)
    draw_panel(axes, compared, looks, aggregate, runs)
    return figure


def draw_panel(axes: Any, compared: Compared, looks: Looks, aggregate: str = "iqm", runs: bool = True) -> None:
    """Draw one aggregate of each method with its band, and behind it, faintly, every run."""
    mark_branch(axes, compared.branch_step)
    for name, results in compared.drawn.items() if runs else ():
        for run in results:
            _draw_run(axes, compared, name, run, looks[name], 0.3)
    _draw_trunk(axes, compared, aggregate)
    for index, name in enumerate(compared.curves):
        _draw_curve(axes, compared, name, looks[name], aggregate, index)
    _draw_levels(axes, compared)
    over_steps(axes)
    axes.set(xlabel=compared.unit, ylabel=compared.metric.words)
    printed_in(compared.metric, axes.yaxis)


def draw_method(compared: Compared, name: str, looks: Looks, limits: tuple[float, float]) -> Figure:
    """Draw one method's runs, IQM and band, with the other methods' IQMs in grey."""
    figure, (axes,) = canvas(300, 215)
    draw_method_panel(axes, compared, name, looks, limits)
    axes.set_title(f"{shortened(name, 30)}, n = {compared.curves[name].iqm.n}", loc="left", fontsize=8.6)
    return figure


def draw_method_panel(axes: Any, compared: Compared, name: str, looks: Looks, limits: tuple[float, float]) -> None:
    """Draw one method's runs, IQM and band on given axes, with the other methods' IQMs in grey."""
    mark_branch(axes, compared.branch_step)
    for other, curve in compared.curves.items():
        if other != name:
            part = _part(curve.steps, _own_start(compared, other))
            axes.plot(curve.steps[part], curve.iqm.value[part], color=FAINT, linewidth=1, zorder=1.5)
    for run in compared.drawn.get(name, ()):
        _draw_run(axes, compared, name, run, looks[name], 0.6)
    _draw_trunk(axes, compared, "iqm")
    _draw_curve(axes, compared, name, looks[name], "iqm", None)
    over_steps(axes)
    axes.locator_params(axis="x", nbins=4)
    axes.set_ylim(*limits)
    printed_in(compared.metric, axes.yaxis)


def limits_of(compared: Compared) -> tuple[float, float]:
    """Return the vertical limits that contain all values, so that panels can be compared with each other."""
    values = [run.values for runs in compared.drawn.values() for run in runs]
    values += [np.array(list(run.before.values())) for runs in compared.drawn.values() for run in runs]
    values += [each for curve in compared.curves.values() for each in (curve.iqm.low, curve.iqm.high, curve.iqm.value)]
    shown = np.concatenate(values)
    shown = shown[np.isfinite(shown)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def thinned(size: int) -> NDArray[np.int64]:
    """Return the places of the points to draw, including the first and the last."""
    return np.unique(np.linspace(0, max(size - 1, 0), min(size, MOST_POINTS)).round().astype(int))


def _own_start(compared: Compared, name: str | None = None) -> float:
    """Return the step from which on a method is drawn in its own colour; a published method has no trunk."""
    alone = name is not None and compared.method(name).published is not None
    return -math.inf if alone or compared.trunk is None or compared.branch_step is None else compared.branch_step


def _draw_curve(axes: Any, compared: Compared, name: str, look: Look, aggregate: str, markers: int | None) -> None:
    """Draw one method's aggregate and band; jumps at events are thin lines.

    `markers` is the method's number, which shifts its markers so that those of different methods do not overlap.
    """
    curve, first = compared.curves[name], _own_start(compared, name)
    steps, value, low, high = _points(compared, name, aggregate, first, math.inf)
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


def _draw_trunk(axes: Any, compared: Compared, aggregate: str) -> None:
    """Draw the trunks' curve up to the branch; at the branch itself, only the value before an event."""
    if compared.trunk is None or compared.branch_step is None:
        return
    changed = _trunk_is_changed(compared)
    steps, value, low, high = _points(compared, compared.trunk, aggregate, -math.inf, compared.branch_step)
    kept = slice(None, -1 if changed and steps.size and steps[-1] == compared.branch_step else None)
    axes.fill_between(steps[kept], low[kept], high[kept], color=TRUNK, alpha=0.18, linewidth=0, zorder=3)
    axes.plot(steps[kept], value[kept], color=TRUNK, linewidth=1.9, zorder=3.5)


def _trunk_is_changed(compared: Compared) -> bool:
    """Whether the method whose curve shows the trunks has an event at the branch."""
    return any(compared.branch_step in run.before for run in compared.drawn.get(compared.trunk or "", ()))


def _points(compared: Compared, name: str, aggregate: str, first: float, last: float) -> tuple[Array, ...]:
    """Return steps, values and bounds to draw, thinned to what can be seen; events have a point before and after."""
    curve = compared.curves[name]
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
    return tuple(np.array(points, dtype=float).reshape(-1, 4).T)


def _draw_run(axes: Any, compared: Compared, name: str, run: RunScores, look: Look, alpha: float) -> None:
    """Draw one run's evaluations, thinned except at events; runs that are not counted are dotted."""
    before = [(step, value, 0) for step, value in run.before.items()]
    after = [(step, value, 1) for step, value in zip(run.steps.tolist(), run.values.tolist(), strict=True)]
    points = np.array(sorted([*before, *after], key=lambda point: (point[0], point[2])), dtype=float).reshape(-1, 3)
    first = _own_start(compared, name)
    pieces = [(points[points[:, 0] >= first], look.color)]
    if math.isfinite(first) and (name == compared.trunk or alpha > 0.5):
        history = points[points[:, 0] <= first]
        changed = (history[:, 0] == first).sum() > 1
        pieces.append((history[:-1] if changed else history, TRUNK))  # without the value after the event
    if run.run.diverged and run.counted:
        place = run.run.diverged.steps, run.values[-1]
        axes.plot(*place, color=look.color, marker="x", markersize=6, markeredgewidth=1.6, linestyle="none", zorder=4.6)
    for piece, color in pieces:
        at_events = np.flatnonzero(np.isin(piece[:, 0], list(run.before)))[: 2 * FEW_POINTS]  # before and after
        shown = piece[np.union1d(thinned(len(piece)), at_events)]
        axes.plot(
            shown[:, 0], shown[:, 1], color=color, linewidth=0.7, alpha=alpha, markersize=2.6, markeredgewidth=0,
            marker="." if len(shown) <= FEW_POINTS else None, linestyle="-" if run.counted else ":", zorder=2,
        )  # fmt: skip


def _draw_levels(axes: Any, compared: Compared) -> None:
    """Draw the horizontal lines whose values are in the range that is shown."""
    low, high = axes.get_ylim()
    ends = np.array([[curve.iqm.value[0], curve.iqm.value[-1]] for curve in compared.curves.values()])
    for name, level in levels_of(compared).items():
        if ends.size and low < level < high:
            away = np.nanmin(np.abs(ends - level), axis=0)
            right = bool(away[1] > away[0])  # the side on which the curves are farther away
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            axes.annotate(
                name, (1 if right else 0, level), (-3 if right else 3, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=7.6, color=MUTED, zorder=5, ha="right" if right else "left",
            )  # fmt: skip


def _part(steps: Array, first: float) -> NDArray[np.int64]:
    """Return the places of the points to draw from this step on."""
    found = np.flatnonzero(steps >= first)
    return found[thinned(found.size)]


def _spread(size: int, index: int) -> tuple[int, None, int]:
    """Return the slice of points with markers, which is different for each method so that markers do not overlap."""
    every = max(1, size // 6)
    return (index * max(1, every // 3)) % every, None, every


def draw_measure(
    compared: Compared, curves: Mapping[str, MeasureCurve], looks: Looks, title: str, logarithmic: bool,
    metric: Metric | None = None,
) -> Figure:  # fmt: skip
    """Draw the mean of each method's runs and their range; up to the branch, those of the trunks in grey.

    Measures are taken before an event. Values of a metric, if one is given, are those after it.
    """
    figure, (axes,) = canvas(300, 205)
    mark_branch(axes, compared.branch_step)
    first = _own_start(compared) if compared.trunk in curves else -math.inf
    parts = [(curve, looks[name].color, looks[name].dashes, first, math.inf) for name, curve in curves.items()]
    if compared.trunk is not None and math.isfinite(first):
        end = math.nextafter(first, -math.inf) if metric is not None and _trunk_is_changed(compared) else first
        parts.insert(0, (curves[compared.trunk], TRUNK, "-", -math.inf, end))
    for curve, color, dashes, first, last in parts:
        part = np.flatnonzero((curve.steps >= first) & (curve.steps <= last))
        part = part[thinned(part.size)]
        steps = curve.steps[part]
        axes.fill_between(steps, curve.low[part], curve.high[part], color=color, alpha=0.13, linewidth=0)
        alone = {"marker": "o", "markersize": 4} if part.size == 1 else {}  # a line of one point is not visible
        axes.plot(steps, curve.mean[part], color=color, linewidth=1.5, linestyle=dashes, **alone)
    values = np.concatenate([curve.mean for curve in curves.values()])
    values = values[np.isfinite(values)]
    if logarithmic and values.size and values.min() > 0 and values.max() > WIDE_SPREAD * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_short))
    printed_in(metric, axes.yaxis)
    axes.set_title(shortened(title, 48), loc="left", fontsize=8.6)
    over_steps(axes)
    axes.locator_params(axis="x", nbins=4)
    return figure


def _short(value: float, _: int) -> str:
    return EngFormatter(sep="")(value) if abs(value) >= 1e4 else f"{value:.4g}".replace("-", "−")
