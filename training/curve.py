"""The learning curve of one run, drawn from its metrics."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from replay.durable import write_durably

from .files import read_lines

MANY_EVENTS = 20


def draw_curve(folder: Path, title: str) -> Path:
    """Write `curve.png`: the evaluations' mean and spread, the training episodes behind, events as dashed lines."""
    lines = read_lines(folder / "metrics.jsonl")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    episodes = [line for line in lines if line["kind"] == "episode"]
    axes.plot(
        [line["environment_steps"] for line in episodes],
        [line["return"] for line in episodes],
        ".", color="0.75", markersize=3, label="training episodes", rasterized=True,
    )  # fmt: skip
    _draw_evaluations(axes, [line for line in lines if line["kind"] == "evaluation"])
    draw_events(axes, [line for line in lines if line["kind"] == "event"])
    finish(axes, title)
    return write_figure(figure, folder / "curve.png")


def write_figure(figure: Figure, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_durably(path, content.getvalue())
    return path


def finish(axes: Any, title: str) -> None:
    """What every curve of returns has."""
    axes.set(xlabel="environment steps", ylabel="return", title=title)
    axes.legend(loc="upper left", frameon=False)
    quiet(axes)


def quiet(axes: Any) -> None:
    """Axes over environment steps, with nothing that does not help to read them."""
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_events(axes: Any, events: Sequence[dict[str, Any]]) -> None:
    """Dashed lines or, where many would hide the curve, ticks at the lower edge."""
    if not events:
        return
    few = len(events) <= MANY_EVENTS
    steps, name = [event["environment_steps"] for event in events], events[0]["method"]
    label = f"event: {name}" if few else f"{len(events)} events: {name}"
    height, style = (1.0, "--") if few else (0.02, "-")
    axes.vlines(
        steps, 0, height, transform=axes.get_xaxis_transform(), color="tab:red", linestyle=style,
        linewidth=1.2 if few else 0.5, label=label,
    )  # fmt: skip


def _draw_evaluations(axes: Any, evaluations: Sequence[dict[str, Any]]) -> None:
    if not evaluations:
        return
    steps = np.array([line["environment_steps"] for line in evaluations])
    returns = [np.array(line["returns"], dtype=float) for line in evaluations]  # by steps, not always as many
    low, high = np.array([np.quantile(row, (0.25, 0.75)) for row in returns]).T
    mean = np.array([row.mean() for row in returns])
    axes.fill_between(steps, low, high, alpha=0.2, color="tab:blue", linewidth=0, label="evaluation, middle half")
    axes.plot(steps, mean, "o-", color="tab:blue", markersize=4, label="evaluation, mean")
