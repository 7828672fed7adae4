"""Draw the plasticity measures of one run from its history: they show whether a network loses its ability to learn."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .curve import draw_events, uncluttered, write_figure
from .history import PANELS, History


def draw_measures(history: History, folder: Path, title: str) -> Path | None:
    """Write `measures.png`: six measures over steps, a line for each network; return None if there are no measures."""
    if not history.measures:
        return None
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    networks = {name: np.array(series.points(), dtype=float).T for name, series in history.measures.items()}
    panels = enumerate(zip(figure.subplots(2, 3, sharex=True).flat, PANELS, strict=True), start=1)
    for row, (axes, (name, meaning, logarithmic)) in panels:
        for network, values in networks.items():
            axes.plot(values[0], values[row], linewidth=1.2, label=network)
        if logarithmic:
            axes.set_yscale("log")
        elif name in ("dormant", "active"):
            axes.set_ylim(bottom=0)
        draw_events(axes, history.events)
        axes.set_title(meaning, fontsize=10)
        uncluttered(axes)
    figure.supxlabel(history.reader.progress.replace("_", " "), fontsize=10)
    figure.suptitle(title)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False)
    return write_figure(figure, folder / "measures.png")
