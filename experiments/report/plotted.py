"""Lists every point of the report's figures as a row of numbers: curves, intervals and single runs."""

from collections.abc import Callable, Iterator

from ..analysis.method_results import Curve, MethodResults, RunScores
from ..analysis.results import Compared, Contrast
from ..analysis.statistics import Band, Interval

POINT = ("against", "figure", "statistic", "seed", "x", "at_event", "value", "low", "high", "n", "interval")
"""Columns: `against` is the second method of a difference; `figure` is what the figure shows; `statistic` is IQM, mean,
median, share, or a single run with its `seed`; `x` is the step, or the score in a profile; `at_event` is "before" for
the value just before an event."""

Point = tuple[object, ...]
AGGREGATES = {"iqm": "IQM", "mean": "mean", "median": "median"}


def points_of(compared: Compared, spelled: Callable[[str], str]) -> Iterator[tuple[str, Point]]:
    """Yield the points of a comparison, each with its method."""
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
        if gap:
            yield _interval(f"{what}, depth", "mean", gap.depth)
            yield _interval(f"{what}, duration", "Kaplan-Meier median", gap.duration)
            yield _interval(f"{what}, regained", "share", gap.regained)
            yield _interval(f"{what}, area", "mean", gap.area)
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


def _interval(
    figure: str, statistic: str, found: Interval, x: float | None = None, at_event: str | None = None
) -> Point:
    return (None, figure, statistic, None, x, at_event, found.value, found.low, found.high, found.n, found.method)
