"""Draws figures over an axis, such as the replay ratio: each method's final value and area at each of its values."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fire_rl.training.metric import Metric

from ..analysis.axis import AxisCurve, OverAxis
from .drawing import COLUMNS, PAPER, PIXEL, Look, Looks, canvas, printed_in, shortened

SCORES = ("final", "area")
DODGE = 0.018  # horizontal distance between two methods at one value, so that no interval hides another
MOST_TICKS = 9
LONG_TICKS = 26  # if the tick labels have more letters in all, they are rotated


def title_of(score: str, metric: Metric) -> str:
    """Return the name of a score, "final" or "area", for the vertical axis."""
    return f"final {metric.words}" if score == "final" else f"area, mean {metric.words}"


def positions(values: Sequence[str]) -> tuple[list[float], str]:
    """Return the positions of values on an axis from 0 to 1, and its scale: "log" if that spaces them more evenly."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        return _between(list(range(len(values)))), "names"
    if min(numbers) > 0:
        logs = [math.log(number) for number in numbers]
        if _unevenness(logs) < _unevenness(numbers) or (len(numbers) == 2 and max(numbers) >= 4 * min(numbers)):
            return _between(logs), "log"
    return _between(numbers), "linear"


def _between(numbers: Sequence[float]) -> list[float]:
    low, high = min(numbers), max(numbers)
    return [(number - low) / (high - low) if high > low else 0.5 for number in numbers]


def _unevenness(numbers: Sequence[float]) -> float:
    """Return the standard deviation of the gaps between the numbers, divided by their mean."""
    gaps = np.diff(sorted(numbers))
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 else 0.0


def draw_over_axis(over: OverAxis, looks: Looks, width: int, height: int, side_by_side: bool) -> Figure:
    """Draw both scores over an axis, side by side or one above the other."""
    figure, panels = canvas(width, height, *((1, 2) if side_by_side else (2, 1)))
    for axes, score in zip(panels, SCORES, strict=True):
        _draw(axes, over, looks, score)
    return figure


def draw_axis_paper(found: Sequence[OverAxis], looks: Looks, width: str) -> Figure:
    """Draw one row for each agent and environment; in a single column, the panels are below each other."""
    inches, alone = COLUMNS[width], len(found) == 1
    rows, columns = (len(found), 2) if width == "double" else (2 * len(found), 1)
    figure, panels = canvas(round(inches / PIXEL), round((2.2 * rows + 0.35) / PIXEL), rows, columns)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    for index, axes in enumerate(panels):
        over, score = found[index // 2], SCORES[index % 2]
        _draw(axes, over, looks, score)
        if not alone:
            axes.set_title(shortened(over.where, 48), loc="left")
    shown = [curve.method for over in found for curve in over.curves if any(any(curve.scores(s)) for s in SCORES)]
    handles = [legend_line(looks[name], name) for name in dict.fromkeys(shown)]
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(len(handles), int(inches / (0.65 + 0.06 * longest))))
    figure.legend(
        handles=handles, ncols=columns, handlelength=HANDLE, loc="outside upper left", frameon=False, borderpad=0.1
    )
    return figure


HANDLE = 3.6  # length of a legend's lines in letters: two dashes on each side of the marker


def legend_line(look: Look, name: str) -> Line2D:
    """Return the line of a method for a legend."""
    return Line2D(
        [], [], color=look.color, linewidth=1.5, linestyle=look.dashes, marker=look.marker, markersize=4.6,
        markeredgecolor=PAPER, markeredgewidth=0.6, label=shortened(name),
    )  # fmt: skip


def _draw(axes: Any, over: OverAxis, looks: Looks, score: str) -> None:
    """Draw one line for each method; each interval is that of the comparison at this value."""
    metric = over.compared[0].metric
    places, scale = positions(over.values)
    middle = (len(over.curves) - 1) / 2
    for index, curve in enumerate(over.curves):
        _draw_curve(axes, curve, looks[curve.method], score, [place + DODGE * (index - middle) for place in places])
    axes.set(xlabel=over.axis.words + (" (log scale)" if scale == "log" else ""), ylabel=title_of(score, metric))
    shown = np.unique(np.linspace(0, len(places) - 1, min(len(places), MOST_TICKS)).round().astype(int))
    labels = [shortened(over.values[place], 12) for place in shown]
    slanted = sum(map(len, labels)) > LONG_TICKS
    axes.set_xticks([places[place] for place in shown], labels, rotation=30 if slanted else 0)
    axes.set_xlim(-0.06, 1.06)
    axes.grid(axis="x", visible=False)
    printed_in(metric, axes.yaxis)


def _draw_curve(axes: Any, curve: AxisCurve, look: Look, score: str, places: Sequence[float]) -> None:
    found = [scores.iqm if scores else None for scores in curve.scores(score)]
    values = [each.value if each else math.nan for each in found]
    for place, each in zip(places, found, strict=True):
        if each and each.bounded:
            axes.plot([place, place], [each.low, each.high], color=look.color, linewidth=2.6, alpha=0.4,
                      solid_capstyle="butt", zorder=3)  # fmt: skip
    axes.plot(
        places, values, color=look.color, linewidth=1.5, linestyle=look.dashes, marker=look.marker, markersize=5,
        markeredgecolor=PAPER, markeredgewidth=0.6, zorder=4,
    )  # fmt: skip
