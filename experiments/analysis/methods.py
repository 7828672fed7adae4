"""What the runs of one method in one environment come to."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .gaps import own_events, stability_gap
from .records import Array
from .results import (
    Aggregates,
    Cost,
    Curve,
    Events,
    MeasureCurve,
    MethodResults,
    NetworkTotal,
    Options,
    Profile,
    RunScores,
    Threshold,
    ThresholdReached,
)
from .scoring import points, with_threshold
from .statistics import (
    Draws,
    Statistic,
    Strata,
    draw,
    estimate,
    estimate_band,
    interquartile_mean,
    mean,
    median,
    profile,
    share,
)
from .survival import median_time

LISTED = 5  # events of each run


def summarise(
    method: str,
    runs: Sequence[RunScores],
    grid: Array,
    levels: Array | None,
    threshold: Threshold | None,
    options: Options,
) -> MethodResults:
    """One method's runs in one environment; `levels` are those of the performance profiles."""
    if threshold is not None:
        runs = [with_threshold(run, threshold.value) for run in runs]
    finished, draws = [run for run in runs if run.final is not None], method_draws(method, options)

    def aggregates(value: Callable[[RunScores], float | None]) -> Aggregates | None:
        values = [value(run) for run in finished]
        return (
            aggregate([known(values)], median, draws, options.confidence) if finished and None not in values else None
        )

    shown = None
    if levels is not None and finished:
        strata = [known([run.final for run in finished])]
        shown = Profile(levels, profile(strata, levels, draws([len(finished)]), options.confidence))
    return MethodResults(
        method=method,
        runs=tuple(runs),
        n=len(finished),
        curve=_curve([run for run in runs if run.counted], grid, draws, options.confidence),
        final=aggregates(lambda run: run.final),
        area=aggregates(lambda run: run.area),
        normalised=aggregates(lambda run: run.normalised),
        threshold=_reached(finished, draws, options.confidence) if threshold is not None and finished else None,
        profile=shown,
        gap=stability_gap(finished, lambda run: run.gaps, draws, options.confidence),
        events=_events([run for run in runs if run.counted]),
        measures=_measures(_undiverged([run for run in runs if run.counted])),
        cost=_cost(_undiverged(finished) or runs),
        pretended=stability_gap(
            finished, lambda run: (run.pretended,) if run.pretended else (), draws, options.confidence
        ),
    )


def _undiverged(runs: Sequence[RunScores]) -> Sequence[RunScores]:
    """Runs whose measures go, and whose time was taken, to the end; the others alone where there are no such ones."""
    return [run for run in runs if not run.run.diverged] or runs


MakeDraws = Callable[[Sequence[int]], Draws]


def method_draws(name: str, options: Options) -> MakeDraws:
    """Resampling of a method's own: whatever else is compared, its numbers stay the same."""
    return lambda sizes: draw(sizes, options.resamples, (options.seed, zlib.crc32(name.encode())))


def known(values: Sequence[float | None]) -> Array:
    return np.array(values, dtype=float)


def aggregate(strata: Strata, middle: Statistic, make_draws: MakeDraws, confidence: float) -> Aggregates:
    draws = make_draws([len(runs) for runs in strata])
    return Aggregates(
        *(estimate(strata, statistic, draws, confidence) for statistic in (interquartile_mean, mean, middle))
    )


def common_grid(methods: Sequence[Sequence[RunScores]]) -> Array:
    """Steps at which every counted run of some method was evaluated: the scheduled ones, and events they share.

    Of a method whose runs have none in common, all their steps.
    """
    steps: set[float] = set()
    known = {step for runs in methods for run in runs if not run.run.diverged for step in run.steps.tolist()}
    for runs in methods:
        if evaluated := [set(run.steps.tolist()) - (_divergence(run) - known) for run in runs if run.counted]:
            steps |= set.intersection(*evaluated) or set.union(*evaluated)
    return np.array(sorted(steps))


def _divergence(run: RunScores) -> set[float]:
    """The step at which a run diverged, where nobody may have been evaluated."""
    return {float(run.run.diverged.environment_steps)} if run.run.diverged else set()


def curve_values(runs: Sequence[RunScores], grid: Array) -> tuple[Array, Array]:
    """The steps that all runs have, and points x runs there; between evaluations a straight line."""
    steps = grid[(grid >= max(run.steps[0] for run in runs)) & (grid <= min(run.steps[-1] for run in runs))]
    return steps, np.stack([np.interp(steps, *points(run.run)) for run in runs], axis=-1)


def _curve(runs: Sequence[RunScores], grid: Array, make_draws: MakeDraws, confidence: float) -> Curve | None:
    if not runs:
        return None
    steps, values = curve_values(runs, grid)
    if not len(steps):
        return None
    interpolated = any(not np.isin(steps, run.steps).all() for run in runs)
    found = curve(steps, [values], median, make_draws, confidence, interpolated)
    return replace(found, before=values_before([runs], steps, median, make_draws, confidence))


def values_before(
    groups: Sequence[Sequence[RunScores]],
    steps: Array,
    middle: Statistic,
    make_draws: MakeDraws,
    confidence: float,
    scales: Sequence[tuple[float, float]] = ((0.0, 1.0),),
) -> dict[float, Aggregates]:
    """What a curve was just before events that all runs had at the same step; `scales` normalise each environment."""
    before = [[_before(run) for run in runs] for runs in groups]
    shared = [
        step for step in steps.tolist()
        if any(step in run.before for runs in groups for run in runs)
        and all(value(int(step)) is not None for values in before for value in values)
    ]  # fmt: skip
    return {
        step: aggregate(
            [
                zero + size * known([value(int(step)) for value in values])
                for (zero, size), values in zip(scales, before, strict=True)
            ],
            middle, make_draws, confidence,
        )
        for step in shared
    }  # fmt: skip


def _before(run: RunScores) -> Callable[[int], float | None]:
    """A run's return just before an event; one that had diverged by then has had none, and counts as it does."""
    place = run.run.diverged.environment_steps if run.run.diverged else math.inf
    return lambda step: run.before.get(step, float(run.returns[-1]) if step >= place else None)


def curve(
    steps: Array, strata: Strata, middle: Statistic, make_draws: MakeDraws, confidence: float, interpolated: bool
) -> Curve:
    draws = make_draws([values.shape[-1] for values in strata])
    iqm, average, half = (
        estimate_band(strata, statistic, draws, confidence) for statistic in (interquartile_mean, mean, middle)
    )
    return Curve(steps, iqm, average, half, iqm.n, interpolated)


def _reached(runs: Sequence[RunScores], make_draws: MakeDraws, confidence: float) -> ThresholdReached:
    reached = np.array([bool(run.reached) for run in runs])
    times = np.array([run.steps_to_threshold if run.reached else run.steps[-1] for run in runs], dtype=float)
    return ThresholdReached(
        share(int(reached.sum()), len(runs), confidence),
        median_time(times, reached, make_draws([len(runs)]), confidence),
        sum(run.already for run in runs),
    )


def _events(runs: Sequence[RunScores]) -> Events | None:
    own = [(scores.run.seed, own_events(scores.run)) for scores in runs]
    records = [event for _, events in own for event in events]
    if not records:
        return None
    changes = [network for event in records for network in event.networks]
    totals = []
    for name in dict.fromkeys(network.name for network in changes):
        of_it = [network for network in changes if network.name == name]
        figures = ("squared_frobenius_error", "deviation_before", "deviation_after")
        totals.append(NetworkTotal(name, *(float(np.mean([getattr(each, f) for each in of_it])) for f in figures)))
    listed = tuple((seed, event) for seed, events in own for event in events[:LISTED])
    return Events(
        count=len(records),
        runs=sum(bool(events) for _, events in own),
        seconds=sum(event.seconds for event in records),
        networks=tuple(totals),
        listed=listed,
        unlisted=len(records) - len(listed),
    )


def _measures(runs: Sequence[RunScores]) -> tuple[MeasureCurve, ...]:
    """Over the first run's steps, as far as all runs are; a run's gaps are bridged by straight lines."""
    found = []
    for network, measure in dict.fromkeys(name for scores in runs for name in scores.run.measures):
        series = [scores.run.measures.get((network, measure)) for scores in runs]
        finite = [(s.steps[np.isfinite(s.values)], s.values[np.isfinite(s.values)]) for s in series if s is not None]
        finite = [pair for pair in finite if len(pair[0])]
        if not finite:
            continue
        steps = np.unique(finite[0][0])
        first, last = max(pair[0][0] for pair in finite), min(pair[0][-1] for pair in finite)
        steps = steps[(steps >= first) & (steps <= last)]
        if not len(steps):
            continue
        values = np.stack([np.interp(steps, *pair) for pair in finite])
        low, high = (extreme(axis=0) for extreme in (values.min, values.max))
        found.append(MeasureCurve(network, measure, steps, values.mean(axis=0), low, high, len(finite)))
    return tuple(found)


def _cost(scores: Sequence[RunScores]) -> Cost | None:
    runs = [each.run for each in scores if each.run.seconds > 0]
    if not runs:
        return None
    seconds = [run.seconds for run in runs]
    speeds = [run.updates_per_second for run in runs if np.isfinite(run.updates_per_second)] or [np.nan]
    return Cost(
        seconds=float(np.mean(seconds)),
        own_seconds=float(np.mean([run.own_seconds for run in runs])),
        lowest_seconds=min(seconds),
        highest_seconds=max(seconds),
        updates_per_second=float(np.mean(speeds)),
        lowest_updates_per_second=min(speeds),
        highest_updates_per_second=max(speeds),
        n=len(runs),
    )
