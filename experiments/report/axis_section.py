"""The report's chapter over the axes: the methods' scores at each value of a setting, as figures and tables."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fire_rl.training.metric import Metric

from ..analysis.axis import AxisCurve, OverAxis, over_axes
from ..analysis.results import Compared, Results
from . import wording
from .drawing import COLUMNS, PAPER, PIXEL, WIDTH, Look, Looks, canvas, legend_lines, page_image, printed_in, shortened
from .sections import Chapter, Illustration, Section, Table, TableRow, columns_in_words, ways

SCORES = ("final", "area")
DODGE = 0.018  # horizontal distance between two methods at one value, so that no interval hides another
MOST_TICKS = 9
LONG_TICKS = 26  # if the tick labels have more letters in all, they are rotated


def axis_chapter(results: Results, looks: Looks) -> Chapter | None:
    """Return the chapter over the axes; None if there are no axes."""
    found = over_axes(results)
    if not found:
        return None
    words = " and ".join(dict.fromkeys(over.axis.words for over in found))
    sections = [_section(over, looks) for over in found]
    lead = "Every value has a comparison and a chapter of its own, below. This chapter shows them side by side."
    return Chapter("axes", f"Over the {words}", lead, (), (), (), "", sections)


def _section(over: OverAxis, looks: Looks) -> Section:
    metric, used = over.compared[0].metric, [looks[curve.method] for curve in over.curves]
    alt = f"Final {metric.name} and area under the curve over the {over.axis.words}: {_in_words(over)}"
    narrow = page_image(draw_over_axis(over, looks, WIDTH, 520, side_by_side=False), alt, used)
    wide = page_image(draw_over_axis(over, looks, 900, 340, side_by_side=True), alt, used)
    figure = Illustration(narrow, f"{over.where}: IQM with its interval", wide)
    intervals = [each.iqm for curve in over.curves for what in SCORES for each in curve.scores(what) if each]
    logarithmic = " The axis is logarithmic." if positions(over.values)[1] == "log" else ""
    text = (
        f"Each point is the interquartile mean (IQM) of a method's runs at one value of the {over.axis.words}, with "
        "the same interval as in the chapter of that value. Runs with different values are never averaged."
        f"{logarithmic} The methods are shifted sideways a little, so that no interval hides another."
    )
    tables = tuple(_table(over, what, title_of(what, metric)) for what in SCORES)
    branched = all(each.branch_step is not None for each in over.compared)
    trunks = f"The methods branch from trunks that were trained with the same {over.axis.words}."
    if len({frozenset(_trunks(each)) for each in over.compared}) == 1:
        trunks = "All values share their trunks."
    notes = (*ways(intervals), f"n: {_counts(over)}.", *([trunks] if branched else []))
    title = f"Over the {over.axis.words}: {over.compared[0].agent} on {over.where}"
    return Section(title, text, (figure,), tables, notes, tuple(curve.method for curve in over.curves))


def _trunks(compared: Compared) -> Iterator[Path]:
    """Yield the trunks of all runs."""
    branches = (scored.run.branch for method in compared.own for scored in method.runs)
    return (branch.trunk for branch in branches if branch is not None)


def _table(over: OverAxis, what: str, title: str) -> Table:
    found = [[scores.iqm if scores else None for scores in curve.scores(what)] for curve in over.curves]
    said = columns_in_words(found, over.compared[0].metric)
    names = [curve.method for curve in over.curves]
    rows = tuple(TableRow(name, (name, *cells)) for name, cells in zip(names, said, strict=True))
    columns = ("method", *(f"{over.axis.words} {value}" for value in over.values))
    return Table(f"{title[0].upper()}{title[1:]}, IQM", columns, rows)


def _counts(over: OverAxis) -> str:
    said = []
    for curve in over.curves:
        counts = [str(found.n) if found else "0" for found in curve.found]
        said.append(f"{curve.method} {counts[0] if len(set(counts)) == 1 else ', '.join(counts)}")
    return "; ".join(said)


def _in_words(over: OverAxis) -> str:
    metric = over.compared[0].metric
    said = []
    for curve in over.curves:
        ends = [scores.iqm.value if scores else None for scores in curve.scores("final")]
        said.append(f"{curve.method} {', '.join(wording.in_unit(end, metric) for end in ends)}")
    return f"final at {', '.join(over.values)}: {'; '.join(said)}"


# Figures


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
    handles = legend_lines({name: looks[name] for name in shown})
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(len(handles), int(inches / (0.65 + 0.06 * longest))))
    figure.legend(handles=handles, ncols=columns, loc="outside upper left", frameon=False, borderpad=0.1)
    return figure


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
