"""Writes `scores.csv` with a row for each run, `curves.csv` with one for each plotted point, and `phases.csv`."""

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fire_rl.training.durable import write_durably

from ..analysis.method_results import Curve, MethodResults, RunScores
from ..analysis.phases import PhaseMatrix
from ..analysis.results import Axis, Compared, Contrast, Results
from ..analysis.statistics import Band, Interval
from .wording import ended

OF_A_RUN = (
    "seed", "trunk", "branch_step", "steps", "ended", "final", "normalised", "area", "normalised_area",
    "steps_to_threshold", "reached", "wall_seconds", "own_seconds", "updates_per_second", "folder",
)  # fmt: skip

OF_A_PHASE = ("phase", "step", "at_event", "mean", "lowest", "highest", "n")
IN_PHASES = {"mean_over_phases": "mean", "forgetting": "forgetting"}

POINT = ("against", "figure", "statistic", "seed", "x", "at_event", "value", "low", "high", "n", "interval")
"""Columns: `against` is the second method of a difference; `figure` is what the figure shows; `statistic` is IQM, mean,
median, share, or a single run with its `seed`; `x` is the step, or the score in a profile; `at_event` is "before" for
the value just before an event."""

Point = tuple[object, ...]
AGGREGATES = {"iqm": "IQM", "mean": "mean", "median": "median"}

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may read text that begins so as a formula
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # a number is not a formula


def write_scores(results: Results, path: Path) -> Path:
    """Write `scores.csv` with all digits of the numbers; a missing number, such as a step never reached, is empty.

    Text that a spreadsheet would read as a formula gets an apostrophe before it, because names of methods may contain
    anything. Text that is a number, such as a value of an axis, gets none. Folders are relative to the file's own.
    """
    axes, others = columns_of(results.axes), _others(results)
    rows = (
        [*_first(results, run.run.agent, comparison.env, run.run.method), *comparison.place, *_row(run, path.parent),
         *(_other(run, name) for name in others)]
        for comparison in results.comparisons for method in comparison.methods for run in method.runs
    )  # fmt: skip
    return write_table(path, ("agent", "env", "method", "label", *axes, *OF_A_RUN, *others), rows)


def _others(results: Results) -> list[str]:
    """Return the columns for values that only runs with phases have, if any run has them."""
    runs = [run for comparison in results.comparisons for method in comparison.methods for run in method.runs]
    names = [*IN_PHASES, *dict.fromkeys(name for run in runs for name in run.also)]
    return [name for name in names if any(_other(run, name) is not None for run in runs)]


def _other(run: RunScores, name: str) -> float | None:
    if name in IN_PHASES:
        return getattr(run.phases, IN_PHASES[name]) if run.phases else None
    return run.also.get(name)


def write_phases(results: Results, path: Path) -> Path:
    """Write `phases.csv`: the metric on each phase's examples at each evaluation that all of a method's runs have."""
    rows = (
        [*_first(results, each.agent, each.where, method.method), *each.place, *point]
        for each in results.comparisons for method in each.methods if method.phases for point in _phases(method.phases)
    )  # fmt: skip
    return write_table(path, ("agent", "where", "method", "label", *columns_of(results.axes), *OF_A_PHASE), rows)


def _phases(matrix: PhaseMatrix) -> Iterator[list[object]]:
    for phase, (means, lows, highs) in enumerate(zip(matrix.mean, matrix.low, matrix.high, strict=True), start=1):
        for step, before, *values in zip(matrix.steps, matrix.before, means, lows, highs, strict=True):
            yield [phase, step, "before" if before else "", *map(float, values), matrix.n]


def write_curves(results: Results, path: Path) -> Path:
    """Write `curves.csv`: every value in the report's figures with its interval, and the curve of every run."""
    everything = [*results.across, *results.comparisons]
    rows = (
        [*_first(results, each.agent, each.where, method), *each.place, *point]
        for each in everything for method, point in _points(each, results.options.spelled)
    )  # fmt: skip
    return write_table(path, ("agent", "where", "method", "label", *columns_of(results.axes), *POINT), rows)


def columns_of(axes: Iterable[Axis]) -> list[str]:
    """Return a column for each axis, named after its setting; for --steps axis_steps, beside the steps reached."""
    names = [axis.name.partition(".")[2] for axis in axes]
    return [f"axis_{name}" if name in OF_A_RUN else name for name in names]


def _first(results: Results, agent: str, where: str, method: str) -> list[object]:
    """Return the first cells of a row: agent, place, the method's spelling, and its name in the report."""
    return [agent, where, results.options.spelled(method), method]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write rows as a CSV file; no text of a cell can be read as a formula."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(map(_cell, row) for row in rows)
    write_durably(path, text.getvalue().encode())
    return path


def _cell(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "" if math.isnan(value) else value
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    in_a_row = text.replace("\r", " ").replace("\n", " ")  # the writer does not quote \r, which would begin a new row
    return f"'{in_a_row}" if text.startswith(FORMULAS) and not NUMBER.fullmatch(text) else in_a_row


def _row(scores: RunScores, folder: Path) -> Iterator[object]:
    run, branch = scores.run, scores.run.branch
    yield from (run.seed, branch and _from(folder, branch.trunk), branch and branch.step, run.reached, ended(run))
    yield from (scores.final, scores.normalised, scores.area, scores.normalised_area)
    yield from (_finite(scores.steps_to_threshold), scores.reached, run.seconds, run.own_seconds)
    yield from (_finite(run.updates_per_second), _from(folder, run.folder))


def _from(folder: Path, run: Path) -> Path:
    """Return a run's folder relative to the report's folder, which stays true when both are moved together."""
    return Path(os.path.relpath(run, folder.resolve())) if run.is_absolute() else run


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# The points of the figures


def _points(compared: Compared, spelled: Callable[[str], str]) -> Iterator[tuple[str, Point]]:
    for method in compared.methods:
        for point in _of_method(method, single_runs=method.method in compared.drawn):
            yield method.method, point
    for contrast in compared.contrasts:
        for point in _of_contrast(contrast, spelled(contrast.against)):
            yield contrast.method, point


def _of_method(method: MethodResults, single_runs: bool) -> Iterator[Point]:
    if method.curve:
        yield from _curve(method.curve)
    for run in method.runs if single_runs else ():
        yield from _run(run)
    scores = {"final": method.final, "area": method.area, "final, normalised": method.normalised}
    scores |= {"mean over phases": method.over_phases, "forgetting": method.forgetting}
    scores |= {f"final, {name}": found for name, found in method.also.items()}
    for figure, found in scores.items():
        if found:
            yield from (_interval(figure, name, getattr(found, key)) for key, name in AGGREGATES.items())
    if method.profile:
        yield from _band("performance profile", "share", method.profile.taus.tolist(), method.profile.share)
    if method.threshold:
        yield _interval("threshold reached", "share", method.threshold.share)
        yield _interval("steps to the threshold", "Kaplan-Meier median", method.threshold.median_steps)
    for what, gap in (("stability gap", method.gap), ("stability gap, nothing done", method.gap_without_event)):
        statistics = {"depth": "mean", "duration": "Kaplan-Meier median", "regained": "share", "area": "mean"}
        for name, statistic in statistics.items() if gap else ():
            yield _interval(f"{what}, {name}", statistic, getattr(gap, name))
    for curve in (*method.measures, *method.also_curves):
        figure = f"{curve.network}/{curve.measure}" if curve.network else curve.measure
        for step, value, low, high in zip(curve.steps, curve.mean, curve.low, curve.high, strict=True):
            yield (None, figure, "mean", None, step, None, value, low, high, curve.n, "lowest and highest run")


def _curve(curve: Curve) -> Iterator[Point]:
    for key, name in AGGREGATES.items():
        for step, before in curve.before.items():
            found: Interval = getattr(before, key)
            yield _interval("learning curve", name, found, step, "before")
        yield from _band("learning curve", name, curve.steps.tolist(), getattr(curve, key))


def _run(run: RunScores) -> Iterator[Point]:
    seed = run.run.seed
    for step, value in run.before.items():
        yield (None, "learning curve", "run", seed, step, "before", value, None, None, 1, None)
    for step, value in zip(run.steps.tolist(), run.values.tolist(), strict=True):
        yield (None, "learning curve", "run", seed, step, None, value, None, None, 1, None)


def _of_contrast(contrast: Contrast, against: str) -> Iterator[Point]:
    for figure, score in (("final", contrast.final), ("area", contrast.area)):
        yield (against, *_interval(f"difference, {figure}", "IQM", score.iqm)[1:])
        yield (against, *_interval(f"difference, {figure}", "mean", score.mean)[1:])
        yield (against, *_interval(f"probability of improvement, {figure}", "share", score.improvement)[1:])
    for value in contrast.trunk_differences:
        yield (against, "difference, final", "trunk", None, None, None, value, None, None, 1, None)


def _band(figure: str, statistic: str, places: list[float], band: Band) -> Iterator[Point]:
    for x, value, low, high in zip(places, band.value, band.low, band.high, strict=True):
        yield (None, figure, statistic, None, x, None, value, low, high, band.n, band.method)


def _interval(figure: str, statistic: str, found: Interval, x: float | None = None, event: str | None = None) -> Point:
    return (None, figure, statistic, None, x, event, found.value, found.low, found.high, found.n, found.method)
