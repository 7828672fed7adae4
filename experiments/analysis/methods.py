"""Computes the results of one method from its runs, in one environment or in several."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from fire_rl.training.metric import Metric

from . import statistics
from .method_results import (
    Aggregates,
    Cost,
    Curve,
    EventTotals,
    Gap,
    MeasureCurve,
    MethodResults,
    Profile,
    RunScores,
    Spread,
    StabilityGap,
    ThresholdReached,
)
from .phases import matrix_of
from .records import Array, NetworkChange, Run
from .resampling import Draws, draw_runs
from .results import Options
from .scoring import NOTHING, own_boundaries, own_events, value_before, values_at, with_threshold
from .statistics import Statistic, Strata, estimate, estimate_band, median_time

LEVELS = 101  # points of a performance profile
LISTED = 5  # events of each run that the report lists one by one

Groups = Sequence[Sequence[RunScores]]  # a method's runs, by environment


@dataclass(frozen=True)
class Resampling:
    """The bootstrap of one method's runs. Its numbers do not depend on the other methods that are compared."""

    method: str
    metric: Metric
    options: Options

    @property
    def confidence(self) -> float:
        """The confidence of the intervals, such as 0.95."""
        return self.options.confidence

    def draws(self, sizes: Sequence[int]) -> Draws:
        """Return resamples of this many runs in each environment."""
        seed = self.options.seed, zlib.crc32(self.options.spelled(self.method).encode())
        return draw_runs(sizes, self.options.resamples, seed)

    def aggregates(self, groups: Groups, score: Callable[[RunScores], float | None]) -> Aggregates | None:
        """Return IQM, mean and median of a score; None if an environment has no run or a run has no such score."""
        values = [[score(run) for run in group] for group in groups]
        if not all(values) or any(value is None for group in values for value in group):
            return None
        strata, draws = [known(group) for group in values], self.draws([len(group) for group in groups])
        return Aggregates(*(estimate(strata, statistic, draws, self.confidence) for statistic in _three(strata)))

    def curve(self, groups: Groups, steps: Array, interpolated: bool) -> Curve:
        """Return the curve over these steps, with the values just before events that all runs have at the same step."""
        strata = [np.stack([values_at(run, steps) for run in group], axis=-1) for group in groups]
        draws = self.draws([len(group) for group in groups])
        iqm, mean, median = (estimate_band(strata, statistic, draws, self.confidence) for statistic in _three(strata))
        events = {step for group in groups for run in group for step in run.before}.intersection(steps.tolist())
        before = {float(step): self.aggregates(groups, partial(value_before, step)) for step in sorted(events)}
        return Curve(steps, iqm, mean, median, interpolated, {step: found for step, found in before.items() if found})

    def curve_over_all(self, groups: Groups, curves: Sequence[Curve | None]) -> Curve | None:
        """Return the curve over all environments; None unless the curves of all of them have the same steps."""
        found = [each for each in curves if each]
        if len(found) < len(curves) or not all(np.array_equal(each.steps, found[0].steps) for each in found):
            return None
        return self.curve(groups, found[0].steps, any(each.interpolated for each in found))


def known(values: Sequence[float | None]) -> Array:
    """Return the values as an array; the caller knows that none is None."""
    return np.array(values, dtype=float)


def finished_of(groups: Groups) -> list[list[RunScores]]:
    """Return the runs with a final score, by environment."""
    return [[run for run in group if run.final is not None] for group in groups]


def _three(strata: Strata) -> tuple[Statistic, ...]:
    """Return IQM, mean and median; for several environments, the median of their means, as in rliable."""
    median = statistics.median if len(strata) == 1 else statistics.median_of_means
    return statistics.interquartile_mean, statistics.mean, median


def summarise(
    runs: Sequence[RunScores], grid: Array, levels: Array | None, threshold: float | None, resampling: Resampling
) -> MethodResults:
    """Return one method's results in one environment; `levels` are the points of the performance profile."""
    if threshold is not None:
        runs = [with_threshold(run, threshold) for run in runs]
    counted = [run for run in runs if run.counted]
    found = scores_of([runs], _curve(counted, grid, resampling), levels, resampling)
    gap = _stability_gap([(run, run.gaps) for run in found.finished], resampling)
    return replace(
        found,
        normalised=resampling.aggregates([found.finished], lambda run: run.normalised),
        threshold=_reached(found.finished, resampling) if threshold is not None and found.finished else None,
        gap=gap,
        no_gap="" if gap or resampling.method == NOTHING else _no_gap(found.finished),
        gap_without_event=_stability_gap(
            [(r, (r.gap_without_event,) if r.gap_without_event else ()) for r in found.finished], resampling
        ),
        events=_events(counted),
        measures=_measures(_undiverged(counted)),
        also=_also(found.finished, resampling),
        also_curves=_also_curves(counted),
        over_phases=resampling.aggregates([found.finished], lambda run: run.phases.mean if run.phases else None),
        forgetting=resampling.aggregates([found.finished], lambda run: run.phases.forgetting if run.phases else None),
        phases=matrix_of([run.run for run in counted]),
        cost=_cost(_undiverged(found.finished) or runs),
    )


def scores_of(groups: Groups, curve: Curve | None, levels: Array | None, resampling: Resampling) -> MethodResults:
    """Return the results that one environment and several have in common; `groups` are the runs by environment."""
    finished = finished_of(groups)
    profile = None
    if levels is not None and all(finished):
        draws, sign = resampling.draws([len(group) for group in finished]), resampling.metric.sign
        strata = [sign * known([run.final for run in group]) for group in finished]
        shares = statistics.profile(strata, sign * levels, draws, resampling.confidence)
        profile = Profile(levels, shares)
    return MethodResults(
        method=resampling.method,
        runs=tuple(run for group in groups for run in group),
        curve=curve,
        final=resampling.aggregates(finished, lambda run: run.final),
        area=resampling.aggregates(finished, lambda run: run.area),
        profile=profile,
    )


def _undiverged(runs: Sequence[RunScores]) -> Sequence[RunScores]:
    """Return the runs that did not diverge, whose measures and times go to the end; all runs if there are none."""
    return [run for run in runs if not run.run.diverged] or runs


def common_grid(methods: Groups) -> Array:
    """Return the steps at which all counted runs of some method were evaluated: the scheduled ones and shared events.

    If a method's runs have no step in common, all their steps are taken. The step at which a run diverged is left out
    unless another run was evaluated there.
    """
    steps: set[float] = set()
    known = {step for runs in methods for run in runs if not run.run.diverged for step in run.steps.tolist()}
    for runs in methods:
        if evaluated := [set(run.steps.tolist()) - (_end(run) - known) for run in runs if run.counted]:
            steps |= set.intersection(*evaluated) or set.union(*evaluated)
    return np.array(sorted(steps))


def _end(run: RunScores) -> set[float]:
    return {run.run.diverged.steps} if run.run.diverged else set()


def _curve(runs: Sequence[RunScores], grid: Array, resampling: Resampling) -> Curve | None:
    """Return the method's curve over the part of the grid that all its runs cover."""
    if not runs:
        return None
    steps = grid[(grid >= max(run.steps[0] for run in runs)) & (grid <= min(run.steps[-1] for run in runs))]
    interpolated = any(not np.isin(steps, run.steps).all() for run in runs)
    return resampling.curve([runs], steps, interpolated) if len(steps) else None


def _reached(runs: Sequence[RunScores], resampling: Resampling) -> ThresholdReached:
    reached = np.array([bool(run.reached) for run in runs])
    times = np.array([run.steps_to_threshold if run.reached else run.steps[-1] for run in runs], dtype=float)
    share = statistics.share(int(reached.sum()), len(runs), resampling.confidence)
    median = median_time(times, reached, resampling.draws([len(runs)]), resampling.confidence)
    return ThresholdReached(share, median, sum(run.already for run in runs))


def _stability_gap(found: Sequence[tuple[RunScores, Sequence[Gap]]], resampling: Resampling) -> StabilityGap | None:
    """Summarise the stability gaps of a method's runs; None if there are none."""
    found = [(run, gaps) for run, gaps in found if gaps]
    if not found:
        return None
    n, draws, confidence = len(found), resampling.draws([len(found)]), resampling.confidence
    depths, shares, areas = (
        np.array([np.mean([getattr(gap, of) for gap in gaps]) for _, gaps in found])
        for of in ("depth", "share", "area")
    )
    every = [(place, gap) for place, (_, gaps) in enumerate(found) for gap in gaps]
    places = np.array([place for place, _ in every])
    back = np.array([bool(np.isfinite(gap.duration)) for _, gap in every])
    times = np.array([min(gap.duration, gap.observed) for _, gap in every], dtype=float)
    return StabilityGap(
        depth=estimate([depths], statistics.mean, draws, confidence),
        share=estimate([shares], statistics.mean, draws, confidence) if np.isfinite(shares).all() else None,
        duration=median_time(times, back, draws, confidence, places),
        # The events of one run are not independent, so a run counts as one observation.
        regained=statistics.share(float(back.mean()) * n, n, confidence),
        area=estimate([areas], statistics.mean, draws, confidence),
        events=len(every),
        occurred=sum(_occurred(run.run) for run, _ in found),
    )


def _occurred(run: Run) -> int:
    """Return the number of a run's events and of beginnings of phases without an event, up to where it is."""
    events = own_events(run)
    begun = {step for step in own_boundaries(run) if step <= run.reached}
    return len(events) + len(begun - {event.step for event in events})


def _no_gap(runs: Sequence[RunScores]) -> str:
    """Return in words why the method's runs have no stability gap."""
    if not runs:
        return ""
    if not any(own_events(run.run) for run in runs):
        return "it has no single events"
    return "it acts again, or the run ends, before the next evaluation"


def _events(runs: Sequence[RunScores]) -> EventTotals | None:
    own = [(scores.run.seed, own_events(scores.run)) for scores in runs]
    records = [event for _, events in own for event in events]
    if not records:
        return None
    by_network: dict[str, list[NetworkChange]] = {}
    for network in (network for event in records for network in event.networks):
        by_network.setdefault(network.name, []).append(network)
    numbers = [each.name for each in fields(NetworkChange) if each.name != "name"]
    return EventTotals(
        count=len(records),
        runs=sum(bool(events) for _, events in own),
        seconds=sum(event.seconds for event in records) / len(records),
        networks=tuple(
            NetworkChange(name, *(float(np.mean([getattr(each, number) for each in changes])) for number in numbers))
            for name, changes in by_network.items()
        ),
        listed=tuple((seed, event) for seed, events in own for event in events[:LISTED]),
    )


def _measures(runs: Sequence[RunScores]) -> tuple[MeasureCurve, ...]:
    """Return the measures over the first run's steps, as far as all runs go; missing values are interpolated."""
    found = []
    for network, measure in dict.fromkeys(name for scores in runs for name in scores.run.measures):
        series = [scores.run.measures.get((network, measure)) for scores in runs]
        found += _mean_of(network, measure, [(each.steps, each.values) for each in series if each is not None])
    return tuple(found)


def _mean_of(network: str, measure: str, series: Sequence[tuple[Array, Array]]) -> list[MeasureCurve]:
    """Return the mean curve of the runs in a list; an empty list if they have no steps in common."""
    finite = [(steps[np.isfinite(values)], values[np.isfinite(values)]) for steps, values in series]
    finite = [pair for pair in finite if len(pair[0])]
    if not finite:
        return []
    steps = np.unique(finite[0][0])
    first, last = max(pair[0][0] for pair in finite), min(pair[0][-1] for pair in finite)
    steps = steps[(steps >= first) & (steps <= last)]
    if not len(steps):
        return []
    values = np.stack([np.interp(steps, *pair) for pair in finite])
    ends = values.min(axis=0), values.max(axis=0)
    return [MeasureCurve(network, measure, steps, values.mean(axis=0), *ends, len(finite))]


def _also(runs: Sequence[RunScores], resampling: Resampling) -> dict[str, Aggregates]:
    """Return the final values on examples other than the metric's, if all runs have them."""
    names = dict.fromkeys(name for run in runs for name in run.also)
    found = {name: resampling.aggregates([runs], partial(_also_of, name)) for name in names}
    return {name: each for name, each in found.items() if each}


def _also_of(name: str, run: RunScores) -> float | None:
    return run.also.get(name)


def _also_curves(runs: Sequence[RunScores]) -> tuple[MeasureCurve, ...]:
    """Return the values on examples other than the metric's over time; at an event, the value after it."""
    found = []
    for name in dict.fromkeys(name for scores in runs for each in scores.run.evaluations for name in each.also):
        series = []
        for scores in runs:
            last = {each.step: each.also[name] for each in scores.run.evaluations if name in each.also}
            series.append((np.array(list(last), dtype=float), np.array(list(last.values()), dtype=float)))
        found += _mean_of("", name, series)
    return tuple(found)


def _cost(scores: Sequence[RunScores]) -> Cost | None:
    runs = [each.run for each in scores if each.run.seconds > 0]
    if not runs:
        return None
    speeds = [run.updates_per_second for run in runs if np.isfinite(run.updates_per_second)] or [np.nan]
    own = [run.own_seconds for run in runs if np.isfinite(run.own_seconds)] or [np.nan]
    times = [run.seconds for run in runs]
    seconds, speed = (Spread(float(np.mean(each)), min(each), max(each)) for each in (times, speeds))
    return Cost(seconds, float(np.mean(own)), speed, len(runs))
