"""The picture: for all networks and for each network, the tau of every measure with 95% intervals, at three levels."""

import math
from collections.abc import Sequence

from fire_rl.experiments.report.drawing import DASHED, MUTED, Look, canvas, png, style

from .table import SAME_AGE, Cell

LOOKS = {
    "within runs": Look("#dd5f00", "#f08030", "D"),
    "between runs": Look("#3673c1", "#2681d7", "s"),
    SAME_AGE: Look("#00a66e", "#2bdc89", "^"),
}
ROW, HEAD, PANEL, COLUMNS = 28, 60, 400, 2  # pixels, and panels beside each other


def draw(cells: Sequence[Cell], order: Sequence[str]) -> bytes:
    """Return the picture as PNG, with one panel for each cell. All panels have the same rows in the same order."""
    with style():
        columns = min(COLUMNS, len(cells))
        rows = -(-len(cells) // columns)
        figure, panels = canvas(PANEL * columns + 90, 20 + (HEAD + ROW * len(order)) * rows, rows, columns)
        for axes in panels[len(cells) :]:
            axes.set_visible(False)
        for number, (axes, cell) in enumerate(zip(panels, cells, strict=False)):
            axes.axvline(0.0, color=MUTED, linewidth=1.0, linestyle=DASHED)
            for place, name in enumerate(order):
                for (level, look), shift in zip(LOOKS.items(), (-0.26, 0.0, 0.26), strict=True):
                    tau = cell.taus[name][level] if name in cell.taus else None
                    if tau is None or not math.isfinite(tau.value):
                        continue
                    if math.isfinite(tau.low):
                        axes.plot([tau.low, tau.high], [place + shift] * 2, color=look.color, linewidth=1.5)
                    fill = look.color if tau.settled else "none"
                    axes.plot(
                        [tau.value], [place + shift], look.marker, color=look.color, markerfacecolor=fill, markersize=5
                    )
            axes.set_title(f"{cell.title}: {cell.size}")
            axes.set_xlim(-1.05, 1.05)
            axes.set_ylim(len(order) - 0.5, -0.5)
            axes.set_yticks(range(len(order)), order if number % columns == 0 else [""] * len(order))
        for level, look in LOOKS.items():
            panels[0].plot([], [], look.marker, color=look.color, label=level)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        return png(figure)
