"""Figures of what networks lose on the way: one measure of one network over steps."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from ..analysis.results import MeasureCurve
from .curve_figures import thinned
from .drawing import STYLE, TRUNK, Look, canvas, mark_branch, over_steps, shortened

WIDE_SPREAD = 5  # largest over smallest, from which on an axis is logarithmic


def draw_measure(
    curves: Mapping[str, MeasureCurve], looks: Mapping[str, Look], title: str, logarithmic: bool,
    branch_step: int | None, trunk: str | None,
) -> Figure:  # fmt: skip
    """The mean of each method's runs, and behind it their whole range; before the branch, the trunks' in grey."""
    figure, (axes,) = canvas(300, 205)
    mark_branch(axes, branch_step)
    parts = [(curve, looks[name].color, looks[name].dashes, 0.0, np.inf) for name, curve in curves.items()]
    if branch_step is not None and trunk is not None and trunk in curves:
        parts = [(curve, color, dashes, branch_step, np.inf) for curve, color, dashes, *_ in parts]
        parts.insert(0, (curves[trunk], TRUNK, "-", 0.0, branch_step))
    for curve, color, dashes, first, last in parts:
        part = np.flatnonzero((curve.steps >= first) & (curve.steps <= last))
        part = part[thinned(part.size)]
        steps = curve.steps[part]
        axes.fill_between(steps, curve.low[part], curve.high[part], color=color, alpha=0.13, linewidth=0)
        axes.plot(steps, curve.mean[part], color=color, linewidth=1.5, linestyle=dashes)
    values = np.concatenate([curve.mean for curve in curves.values()])
    values = values[np.isfinite(values)]
    if logarithmic and values.size and values.min() > 0 and values.max() > WIDE_SPREAD * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_short))
    axes.set_title(shortened(title, 48), loc="left", fontsize=STYLE["font.size"])
    over_steps(axes)
    axes.locator_params(axis="x", nbins=4)
    return figure


def _short(value: float, _: int) -> str:
    return EngFormatter(sep="")(value) if abs(value) >= 1e4 else f"{value:.4g}".replace("-", "−")
