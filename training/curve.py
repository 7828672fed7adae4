"""Draw the learning curve of one run, and the measures that show whether its networks lose their ability to learn."""

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from .durable import write_durably
from .history import PANELS, Events, History
from .lines import Reader

MANY_EVENTS = 20
MANY_EVALUATIONS = 200


def draw_curve(history: History, folder: Path, title: str) -> Path:
    """Write `curve.png`: mean and spread of the evaluations, training episodes as grey dots, events as dashed lines."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    if episodes := history.episodes.points():
        steps, values = np.array(episodes, dtype=float).T
        values *= history.reader.metric.scale
        axes.plot(steps, values, ".", color="0.75", markersize=3, label="training episodes", rasterized=True)
    _draw_evaluations(axes, history)
    draw_events(axes, history.events)
    finish(axes, title, history.reader)
    return write_figure(figure, folder / "curve.png")


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


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file, and return its path."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_durably(path, content.getvalue())
    return path


def finish(axes: Any, title: str, reader: Reader) -> None:
    """Add labels, title and legend, as in every picture of the metric over steps."""
    axes.set(xlabel=reader.progress.replace("_", " "), ylabel=reader.metric.words, title=title)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left" if reader.metric.better == "higher" else "upper right", frameon=False)
    uncluttered(axes)


def uncluttered(axes: Any) -> None:
    """Format the axes of a picture over steps: short numbers, small margins, few lines."""
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_events(axes: Any, events: Events) -> None:
    """Draw events as dashed lines, or as ticks at the lower edge if so many lines would hide the curve."""
    if not events.count:
        return
    few = events.count <= MANY_EVENTS
    label = f"event: {events.method}" if few else f"{events.count:,} events: {events.method}"
    height, style = (1.0, "--") if few else (0.02, "-")
    steps = np.repeat(np.array(events.steps(), dtype=float), 3)
    heights = np.tile([0.0, height, np.nan], len(steps) // 3)  # one path with gaps; many paths would take seconds
    axes.plot(
        steps, heights, transform=axes.get_xaxis_transform(), color="tab:red", linestyle=style,
        linewidth=1.2 if few else 0.5, label=label,
    )  # fmt: skip


def _draw_evaluations(axes: Any, history: History) -> None:
    points = history.evaluations.points()
    if not points:
        return
    steps, mean, low, high = np.array(points, dtype=float).T
    mean, low, high = (history.reader.metric.scale * values for values in (mean, low, high))
    if (low < high).any():
        axes.fill_between(steps, low, high, alpha=0.2, color="tab:blue", linewidth=0, label="evaluation, middle half")
    style = "o-" if len(points) <= MANY_EVALUATIONS else "-"
    axes.plot(steps, mean, style, color="tab:blue", markersize=4, label="evaluation, mean")
