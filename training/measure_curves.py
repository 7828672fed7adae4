"""The plasticity measures of one run, drawn from its metrics: where a network loses what it could still learn with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .curve import draw_events, quiet, write_figure
from .files import read_lines

# Measure, what it says, and whether its axis is logarithmic.
PANELS = (
    ("dormant", "dormant units, share", False),
    ("active", "active units, share", False),
    ("effective_rank", "effective rank of features", False),
    ("deviation", "deviation from isometry", True),
    ("weight_norm", "length of weights", False),
    ("gradient_norm", "length of gradient", True),
)


def draw_measures(folder: Path, title: str) -> Path | None:
    """Write `measures.png`: six of them over environment steps, a line for each network; None where there are none."""
    lines = read_lines(folder / "metrics.jsonl")
    measures = [line for line in lines if line["kind"] == "measures"]
    if not measures:
        return None
    events = [line for line in lines if line["kind"] == "event"]
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    for axes, (name, meaning, logarithmic) in zip(figure.subplots(2, 3, sharex=True).flat, PANELS, strict=True):
        _draw(axes, name, measures, logarithmic)
        draw_events(axes, events)
        axes.set_title(meaning, fontsize=10)
        quiet(axes)
    figure.supxlabel("environment steps", fontsize=10)
    figure.suptitle(title)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False)
    return write_figure(figure, folder / "measures.png")


def _draw(axes: Any, name: str, measures: Sequence[Mapping[str, Any]], logarithmic: bool) -> None:
    networks = [key.partition("/")[0] for key in measures[0] if key.endswith("/weight_norm")]
    steps = [line["environment_steps"] for line in measures]
    for network in networks:
        values = np.array([line.get(f"{network}/{name}") for line in measures], dtype=float)
        axes.plot(steps, values, linewidth=1.2, label=network)
    if logarithmic:
        axes.set_yscale("log")
    elif name in ("dormant", "active"):
        axes.set_ylim(bottom=0)
