"""The figure for papers, `curves.png` and `curves.svg`: it stands alone, so everything it needs is said in it.

One environment has its curves together, large, and below them each method by itself with all its runs; several
environments have a panel each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.results import Across, Compared
from .curve_figures import draw_method_panel, draw_panel, limits_of, runs_each
from .drawing import INK, MUTED, PAPER, PIXEL, TRUNK, Look, canvas, plain, shortened

MOST_BESIDE = 6  # methods in one row


def draw_paper_figure(panels: Sequence[Compared], looks: Mapping[str, Look]) -> Figure:
    if len(panels) == 1 and panels[0].drawn and 1 < len(panels[0].curves) <= 2 * MOST_BESIDE:
        return _one_environment(panels[0], looks)
    return _several(panels, looks)


def _one_environment(compared: Compared, looks: Mapping[str, Look]) -> Figure:
    names = list(compared.curves)
    rows = -(-len(names) // MOST_BESIDE)
    columns = -(-len(names) // rows)
    width, above, below = 800, 330, 150
    figure = Figure(figsize=(width * PIXEL, (above + below * rows + 110) * PIXEL), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[above, *[below] * rows])
    main = figure.add_subplot(grid[0, :])
    plain(main)
    draw_panel(main, compared, looks, runs=False)
    _name_branch(main, compared)
    limits, first = limits_of(compared), None
    for index, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + index // columns, index % columns], sharey=first)
        first = first or axes
        plain(axes)
        draw_method_panel(axes, compared, name, looks, limits)
        axes.locator_params(axis="x", nbins=3)
        axes.tick_params(labelleft=index % columns == 0)
        title = f"{shortened(name, 20)}, n = {compared.curves[name].iqm.n}"
        axes.set_title(title, loc="left", color=looks[name].color, fontsize=8.6)
    handles, legend_columns = _legend([compared], {name: looks[name] for name in names}, width)
    main.legend(
        handles=handles, ncols=legend_columns, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderpad=0.2,
        borderaxespad=0.1, columnspacing=1.6,
    )  # fmt: skip
    title = f"{_title(compared, 60)}, {runs_each(compared)} for each method"
    _say(figure, [compared], "Below: every run.", title)
    return figure


def _several(panels: Sequence[Compared], looks: Mapping[str, Look]) -> Figure:
    columns = 2 if len(panels) == 4 else max(1, min(3, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    width, height = (680, 400) if columns == 1 else (430 * columns, 320)
    figure, axes = canvas(width, height * rows + 110, rows, columns)
    for place, compared in zip(axes, panels, strict=False):
        draw_panel(place, compared, looks)
        place.set_title(f"{_title(compared, 44)}, {runs_each(compared)}", loc="left")
        _name_branch(place, compared)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    handles, legend_columns = _legend(panels, looks, width)
    figure.legend(handles=handles, ncols=legend_columns, loc="outside upper left", frameon=False)
    _say(figure, panels, "Thin: single runs.")
    return figure


def _say(figure: Figure, panels: Sequence[Compared], runs: str, title: str = "") -> None:
    """What it is above, and how it was made below."""
    ways = dict.fromkeys(
        curve.iqm.method for compared in panels for curve in compared.curves.values() if curve.iqm.bounded
    )
    diverged = any(run.run.diverged for compared in panels for own in compared.drawn.values() for run in own)
    parts = ["Thick: interquartile mean.", runs, *(["Crosses: where runs diverged."] if diverged else [])]
    said = " ".join([*parts, *([f"Bands: {'; '.join(ways)}."] if ways else [])])
    if title:
        figure.suptitle(title, fontsize=9.6, color=INK, weight="bold", x=0.012, ha="left")
    figure.supxlabel(said, fontsize=7.8, color=MUTED, x=0.012, ha="left")


def _title(compared: Compared, longest: int) -> str:
    return shortened(f"{compared.agent} · {'together' if isinstance(compared, Across) else compared.where}", longest)


def _name_branch(axes: Any, compared: Compared) -> None:
    if compared.branch_step is not None:
        axes.annotate(
            "branch", (compared.branch_step, 1), (-4, -2), xycoords=axes.get_xaxis_transform(), ha="right", va="top",
            textcoords="offset points", fontsize=7.6, color=MUTED,
        )  # fmt: skip


def _legend(panels: Sequence[Compared], looks: Mapping[str, Look], width: float) -> tuple[list[Line2D], int]:
    """What is in the legend, and in how many columns it fits."""
    handles = [_handle(look, shortened(name)) for name, look in looks.items()]
    if any(compared.trunk for compared in panels):
        handles.append(Line2D([], [], color=TRUNK, linewidth=1.9, label="trunks, shared"))
    lengths = [len(str(handle.get_label())) for handle in handles] or [0]
    in_one_row = sum(6.2 * length + 55 for length in lengths) < width
    return handles, max(1, len(handles) if in_one_row else int(width / (6.5 * max(lengths) + 60)))


def _handle(look: Look, label: str) -> Line2D:
    return Line2D(
        [], [], color=look.color, linewidth=1.9, linestyle=look.dashes, marker=look.marker, markersize=5,
        markeredgecolor=PAPER, markeredgewidth=0.6, label=label,
    )  # fmt: skip
