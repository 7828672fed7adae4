"""Draws the evaluations of several seeds of one command, each seed and their mean: python -m docs.images.make_curves.

python -m docs.images.make_curves docs/images/minatar-breakout-quick.png "DQN with FIRE on MinAtar/Breakout-v1" RUN...
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fire_rl.training.curve import finish
from fire_rl.training.lines import Reader, read_lines


def draw(output: Path, title: str, runs: list[Path]) -> None:
    """One thin line per run, their mean, and where events happened."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    curves = []
    for run in runs:
        lines = read_lines(run / "metrics.jsonl")
        evaluations = [line for line in lines if line["kind"] == "evaluation"]
        steps = [line["environment_steps"] for line in evaluations]
        curves.append([line["return"] for line in evaluations])
        axes.plot(
            steps, curves[-1], color="tab:blue", alpha=0.35, linewidth=1, label=None if run != runs[0] else "a seed"
        )
        for event in {line["environment_steps"] for line in lines if line["kind"] == "event"}:
            axes.axvline(
                event, color="tab:red", linestyle="--", linewidth=1.2, label="event" if run == runs[0] else None
            )
    axes.plot(steps, np.mean(curves, axis=0), color="tab:blue", linewidth=2.2, label=f"mean of {len(runs)} seeds")
    finish(axes, title, Reader())
    figure.savefig(output, dpi=130)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    draw(Path(sys.argv[1]), sys.argv[2], [Path(argument) for argument in sys.argv[3:]])
