"""Draws figures of single numbers: a row for each method or pair, with its interval and its runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from fire_rl.training.metric import Metric

from ..analysis.method_results import Profile
from ..analysis.statistics import Interval
from .drawing import GRID, INK, MUTED, PAPER, WIDTH, Look, Looks, canvas, printed_in, shortened_apart
from .wording import by_direction

ROW = 40  # pixels
LONGEST_ROW = 56  # letters of a row's name and numbers together


@dataclass(frozen=True)
class Row:
    """The row of one method or of one pair of methods."""

    label: str
    look: Look
    interval: Interval
    said: str  # the interval as text
    runs: Sequence[float] = ()
    censored: Sequence[float] = ()  # the last steps of runs that had not reached the threshold


def draw_rows(
    rows: Sequence[Row], xlabel: str, metric: Metric | None = None, line: float | None = None,
    limits: tuple[float, float] | None = None, over_steps: bool = False, least: float = 0.0,
) -> Figure:  # fmt: skip
    """Draw a point and a bar for each row, with its numbers above and dots for its runs below.

    `line` is the value that means no difference. `least` is the smallest margin on each side.
    """
    figure, (axes,) = canvas(WIDTH, ROW * len(rows) + 50)
    if line is not None:
        axes.axvline(line, color=MUTED, linewidth=1, zorder=1)
    axes.set_xlim(*(limits or _limits(rows, line, least)))
    labels = shortened_apart([row.label for row in rows], [max(LONGEST_ROW - len(row.said), 12) for row in rows])
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        _draw_row(axes, place, row, label)
    axes.set_ylim(len(rows) - 0.45, -0.62)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    axes.hlines(np.arange(1, len(rows)) - 0.58, *axes.get_xlim(), color=GRID, linewidth=0.7)
    axes.set_xlabel(xlabel)
    if over_steps:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    printed_in(metric, axes.xaxis)
    axes.locator_params(axis="x", nbins=7)
    return figure


def draw_profiles(profiles: Mapping[str, Profile], looks: Looks, metric: Metric) -> Figure:
    """Draw the share of runs that did better than each score; a higher curve is better."""
    figure, (axes,) = canvas(WIDTH, 260)
    for name, profile in profiles.items():
        look, share, taus = looks[name], profile.share, profile.taus
        if share.bounded:
            axes.fill_between(taus, share.low, share.high, color=look.color, alpha=0.08, linewidth=0, step="post")
        axes.step(taus, share.value, where="post", color=look.color, linewidth=1.8, linestyle=look.dashes)
    beyond = by_direction(metric, "above", "below")
    axes.set(xlabel=f"final {metric.words}", ylabel=f"share of runs {beyond} it", ylim=(-0.03, 1.03))
    printed_in(metric, axes.xaxis)
    axes.margins(x=0.01)
    return figure


def _limits(rows: Sequence[Row], line: float | None, least: float) -> tuple[float, float]:
    """Return horizontal limits that contain all finite values, with a margin on each side."""
    shown = [
        value
        for row in rows
        for value in (row.interval.value, row.interval.low, row.interval.high, *row.runs, *row.censored)
        if math.isfinite(value)
    ]
    shown += [] if line is None else [line]
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    room = max(least, 0.04 * (high - low) or max(abs(high), 1.0) * 0.1)
    return low - room, high + room


def _draw_row(axes: Any, place: int, row: Row, label: str) -> None:
    interval, color = row.interval, row.look.color
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
    texts: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "bbox": box, "zorder": 2}
    axes.text(0, place - 0.34, label, ha="left", color=INK, **texts)
    axes.text(1, place - 0.34, row.said, ha="right", color=MUTED, fontsize=8, **texts)
    left, right = axes.get_xlim()
    if interval.bounded:
        axes.plot(
            [max(interval.low, left), min(interval.high, right)], [place, place], color=color, linewidth=4, alpha=0.4,
            solid_capstyle="butt", zorder=3,
        )  # fmt: skip
    endless = math.isinf(interval.value)
    axes.plot(
        [right if endless else interval.value], [place], marker=">" if endless else row.look.marker, markersize=7,
        color="none" if endless else color, markeredgecolor=color if endless else PAPER, markeredgewidth=0.8, zorder=4,
        clip_on=False,
    )  # fmt: skip
    below = place + 0.26
    axes.plot(row.runs, [below] * len(row.runs), "o", color=color, markersize=4, alpha=0.55, markeredgewidth=0)
    if row.censored:  # plotting an empty list would disturb the layout
        axes.plot(
            row.censored, [below] * len(row.censored), ">", color="none", markeredgecolor=color, markersize=4.5,
            markeredgewidth=0.9, clip_on=False,
        )  # fmt: skip
