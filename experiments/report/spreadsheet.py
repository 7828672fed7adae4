"""The results as `scores.csv`, a row for each run."""

import csv
import io
import math
from pathlib import Path

from training.durable import write_durably

from ..analysis.results import Results, RunScores
from .wording import ended, place

COLUMNS = (
    "agent", "env", "method", "seed", "trunk", "branch_step", "steps", "ended", "final", "normalised", "area",
    "normalised_area", "steps_to_threshold", "reached", "wall_seconds", "own_seconds", "updates_per_second", "folder",
)  # fmt: skip

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet begins to compute at


def write_scores(results: Results, path: Path) -> Path:
    """Write `scores.csv`: numbers in full; empty where there is none, as of a threshold never reached.

    Text that a spreadsheet would take for a formula has an apostrophe before it: methods are anybody's words.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for comparison in results.comparisons:
        table.writerows(map(_cell, _row(run)) for method in comparison.methods for run in method.runs)
    write_durably(path, text.getvalue().encode())
    return path


def _cell(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    in_a_row = text.replace("\r", " ").replace("\n", " ")  # a bare \r is not quoted, and would begin a row
    return f"'{in_a_row}" if text.startswith(FORMULAS) else in_a_row


def _row(scores: RunScores) -> list[object]:
    run, branch = scores.run, scores.run.branch
    return [
        run.agent, run.env, run.method, run.seed, branch and place(branch.trunk), branch and branch.step, run.reached,
        ended(run), scores.final, scores.normalised, scores.area, scores.normalised_area,
        _finite(scores.steps_to_threshold), scores.reached, run.seconds, run.own_seconds,
        _finite(run.updates_per_second), place(run.folder),
    ]  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
