"""Draws the main figure: `curves.png` with its explanations, and `curves.pdf` and `curves.svg` for papers without them.

For one environment, there is a large panel with all methods, and below it a small panel for each method with all its
runs. For several environments, there is one panel for each. A figure for a single column has no small panels.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.results import Across, Compared
from .curve_figures import draw_method_panel, draw_panel, limits_of, runs_each
from .drawing import COLUMNS, INK, MUTED, PIXEL, TRUNK, Looks, canvas, legend_lines, plain, shortened, shortened_apart

MOST_BESIDE = 6  # methods in one row


@dataclass(frozen=True)
class Sheet:
    """The width of a figure in pixels, and whether it is for papers and so has no title and explanations."""

    width: int
    for_papers: bool

    @property
    def narrow(self) -> bool:
        """Whether there is no room for small panels."""
        return self.width < 500


ALONE = Sheet(800, for_papers=False)


def sheet_of(width: str) -> Sheet:
    """Return the sheet of a figure for papers, whose width is `single` or `double`."""
    return Sheet(round(COLUMNS[width] / PIXEL), for_papers=True)


def draw_paper_figure(panels: Sequence[Compared], looks: Looks, sheet: Sheet = ALONE) -> Figure:
    """Draw the main figure of these comparisons."""
    if len(panels) == 1 and panels[0].drawn and 1 < len(panels[0].curves) <= 2 * MOST_BESIDE:
        return _one_environment(panels[0], looks, sheet)
    return _several(panels, looks, sheet)


def _one_environment(compared: Compared, looks: Looks, sheet: Sheet) -> Figure:
    names = list(compared.curves)
    rows = 0 if sheet.narrow else -(-len(names) // MOST_BESIDE)
    columns = -(-len(names) // rows) if rows else 1
    above, below, words = (330, 150, 110) if not sheet.for_papers else (215, 112, 36)
    size = sheet.width * PIXEL, (above + below * rows + words) * PIXEL
    figure = Figure(figsize=size, layout="constrained")
    pad = 0.03 if sheet.for_papers else 0.05
    figure.get_layout_engine().set(w_pad=pad, h_pad=pad)  # type: ignore[union-attr, call-arg]
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[above, *[below] * rows])
    main = figure.add_subplot(grid[0, :])
    plain(main)
    draw_panel(main, compared, looks, runs=sheet.narrow)
    _name_branch(main, compared)
    room = max(8, 100 // columns)  # letters of a small panel's title
    between = "\n" if any(len(f"{name}, n = {compared.curves[name].iqm.n}") > room for name in names) else ", "
    limits, first = limits_of(compared), None
    short = shortened_apart(names, [room] * len(names))
    for index, name in enumerate(names if rows else ()):
        axes = figure.add_subplot(grid[1 + index // columns, index % columns], sharey=first)
        first = first or axes
        plain(axes)
        draw_method_panel(axes, compared, name, looks, limits)
        axes.locator_params(axis="x", nbins=3)
        axes.tick_params(labelleft=index % columns == 0)
        title = f"{short[index]}{between}n = {compared.curves[name].iqm.n}"
        axes.set_title(title, loc="left", color=looks[name].color, fontsize=7.5 if sheet.for_papers else 8.6)
    handles, legend_columns = _legend([compared], {name: looks[name] for name in names}, sheet)
    main.legend(
        handles=handles, ncols=legend_columns, loc="lower left", bbox_to_anchor=(0, 1),
        frameon=False, borderpad=0.2, borderaxespad=0.1, columnspacing=1.6 if not sheet.narrow else 1.0,
    )  # fmt: skip
    if not sheet.for_papers:
        title = f"{_title(compared, 60)}, {runs_each(compared)} for each method"
        _say(figure, [compared], "Small panels: every run of each method.", title)
    return figure


def _several(panels: Sequence[Compared], looks: Looks, sheet: Sheet) -> Figure:
    columns = 2 if len(panels) == 4 else max(1, min(3, len(panels)))
    if sheet.narrow:
        columns = 1 if len(panels) < 4 else 2
    rows = max(1, -(-len(panels) // columns))
    if sheet.for_papers:
        width, words = sheet.width, 40
        height = 205 if width / columns > 250 else 175 if width / columns > 200 else 140
    else:
        width, height = (680, 400) if columns == 1 else (430 * columns, 320)
        words = 110
    figure, axes = canvas(width, height * rows + words, rows, columns)
    room = round((width / columns - 30) / 4.8)  # letters of a panel's title
    wrapped = any(len(_where(compared)) > room for compared in panels)
    for place, compared in zip(axes, panels, strict=False):
        draw_panel(place, compared, looks)
        if sheet.for_papers:
            place.set_title(_in_lines(_where(compared), room, wrapped), loc="left")
            place.locator_params(axis="x", nbins=4 if width / columns > 200 else 2)
        else:
            place.set_title(f"{_title(compared, 44)}, {runs_each(compared)}", loc="left")
        _name_branch(place, compared)
    _same_height(panels, axes)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    shown = {name: look for name, look in looks.items() if any(name in compared.curves for compared in panels)}
    handles, legend_columns = _legend(panels, shown, Sheet(width, sheet.for_papers))
    figure.legend(handles=handles, ncols=legend_columns, loc="outside upper left", frameon=False)
    if not sheet.for_papers:
        _say(figure, panels, "Thin lines: single runs.")
    return figure


def _in_lines(text: str, longest: int, wrapped: bool) -> str:
    """Return a panel's title, with the values of the axes on a second line if one line is too short for some panel."""
    first, comma, rest = text.partition(", ")
    if not wrapped or not comma:
        return shortened(text, longest)
    return f"{shortened(first, longest)}\n{shortened(rest, longest)}"


def _same_height(panels: Sequence[Compared], axes: Sequence[Any]) -> None:
    """Give all panels of one environment the same vertical limits, if they differ in the value of an axis."""
    groups: dict[Any, list[Any]] = {}
    for place, compared in zip(axes, panels, strict=False):
        envs = {run.run.env for method in compared.methods for run in method.runs} if compared.place else {id(place)}
        groups.setdefault((compared.agent, compared.metric, tuple(sorted(map(str, envs)))), []).append(place)
    for group in groups.values():
        limits = [place.get_ylim() for place in group]
        for place in group:
            place.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def caption_of(panels: Sequence[Compared], others: Sequence[str] = ()) -> str:
    """Return sentences on what the figure shows and how its bands were computed, with `others` between them."""
    curves = [curve.iqm for compared in panels for curve in compared.curves.values()]
    ways = dict.fromkeys(curve.method for curve in curves if curve.bounded)
    bands = [f"Bands: {'; '.join(ways)}."] if ways else []
    return " ".join(["Thick lines: interquartile mean.", *others, *bands])


def _say(figure: Figure, panels: Sequence[Compared], runs: str, title: str = "") -> None:
    """Write the title above the figure and its explanation below."""
    diverged = any(run.run.diverged for compared in panels for own in compared.drawn.values() for run in own)
    said = caption_of(panels, [runs, *(["Crosses: where runs diverged."] if diverged else [])])
    if title:
        figure.suptitle(title, fontsize=9.6, color=INK, weight="bold", x=0.012, ha="left")
    letters = int(figure.get_size_inches()[0] / PIXEL / 5.7)
    figure.supxlabel(textwrap.fill(said, letters), fontsize=7.8, color=MUTED, x=0.012, ha="left")


def _title(compared: Compared, longest: int) -> str:
    return shortened(f"{compared.agent} · {_where(compared)}", longest)


def _where(compared: Compared) -> str:
    return compared.where.partition(" environments ")[2] if isinstance(compared, Across) else compared.where


def _name_branch(axes: Any, compared: Compared) -> None:
    if compared.branch_step is not None:
        axes.annotate(
            "branch", (compared.branch_step, 1), (-4, -2), xycoords=axes.get_xaxis_transform(), ha="right", va="top",
            textcoords="offset points", fontsize=7.6, color=MUTED,
        )  # fmt: skip


def _legend(panels: Sequence[Compared], looks: Looks, sheet: Sheet) -> tuple[list[Line2D], int]:
    """Return the legend's lines and the number of columns that fit."""
    handles = legend_lines(looks)
    if any(compared.trunk for compared in panels):
        handles.append(Line2D([], [], color=TRUNK, linewidth=1.9, label="trunks, shared"))
    lengths = [len(str(handle.get_label())) for handle in handles] or [0]
    letter = 5.0 if sheet.for_papers else 6.2
    in_one_row = sum(letter * length + 70 for length in lengths) < sheet.width
    return handles, max(1, len(handles) if in_one_row else int(sheet.width / (1.05 * letter * max(lengths) + 75)))
