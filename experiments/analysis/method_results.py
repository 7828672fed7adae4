"""The results of one method as plain values: its runs' scores, its curve, and what is computed of its runs together.

Arrays are NumPy arrays. An interval is a `statistics.Interval` (a number, its bounds, n, and in words how they were
computed); a band is a `statistics.Band` (the same at each point of an axis). Bounds are NaN if there are too few runs
(see `Interval.bounded`). "Values" are values of the comparison's metric, such as returns or losses; "steps" are counted
in its unit, such as environment steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .phases import PhaseMatrix, RunPhases
from .records import Array, EventRecord, NetworkChange, Run
from .statistics import Band, Interval


@dataclass(frozen=True)
class Aggregates:
    """One score of a method's runs, averaged in three ways."""

    iqm: Interval
    mean: Interval
    median: Interval  # of the runs; for several environments: of the environments' means, as in rliable


@dataclass(frozen=True)
class Gap:
    """The stability gap of one event: values get worse and may recover before the run's next event or its end.

    It is only seen at evaluations: if the one right after the event is as good as the one before or better, depth and
    duration are 0.
    """

    step: int
    depth: float  # value before the event minus the worst value until the recovery; 0 if none is worse
    share: float  # depth / value before; NaN if that value is not above 0
    duration: float  # steps to the first evaluation at least as good as the one before; inf if there is none
    observed: int  # steps from the event to the last evaluation used, at which a duration of inf is censored
    area: float  # between the value before and the curve until the recovery or the last evaluation used, values x steps
    cut: bool = False  # whether the gap was ended by the run's next event


@dataclass(frozen=True, eq=False)
class RunScores:
    """One run: its points to draw, and its scores, which are None until it has finished or diverged."""

    run: Run
    steps: Array  # of its evaluations, each step once; at an event the evaluation after it
    values: Array
    before: Mapping[int, float]  # step: value just before an event, if the run was also evaluated after it
    counted: bool  # in its method's curve: it finished or diverged, or no run of its method did
    final: float | None  # mean of the scheduled evaluations in the last 10% of the steps, without those of the trunk
    area: float | None  # under the curve, divided by its length; for a branch from the branch on
    normalised: float | None  # `final` as a normalised score, if the environment has references
    normalised_area: float | None
    gaps: tuple[Gap, ...]  # of events with evaluations before and after them
    steps_to_threshold: float | None = None  # inf if not reached; for a branch only the steps after it are searched
    already: bool = False  # whether its trunk reached the threshold before the branch
    gap_without_event: Gap | None = None  # at the branch of a run in which nothing was done, which is only noise
    phases: RunPhases | None = None  # None if its data has no phases
    also: Mapping[str, float | None] = field(default_factory=dict)  # final values on other examples, by name
    scale: tuple[float, float] = (0.0, 1.0)  # offset and factor from values to scores

    @property
    def reached(self) -> bool | None:
        """Whether the run reached the threshold; None if there is none."""
        return None if self.steps_to_threshold is None else math.isfinite(self.steps_to_threshold)


@dataclass(frozen=True, eq=False)
class Curve:
    """Values (or normalised scores) of a method's counted runs over the steps."""

    steps: Array
    iqm: Band
    mean: Band
    median: Band
    interpolated: bool  # whether some run has no evaluation at some of these steps
    before: Mapping[float, Aggregates] = field(default_factory=dict)
    """The values just before an event, by its step, if all runs have one there; the bands contain those after it."""


@dataclass(frozen=True)
class ThresholdReached:
    """When a method's runs reached the threshold; the threshold stays fixed while runs are resampled."""

    share: Interval  # of the runs that reached it
    median_steps: Interval  # Kaplan-Meier median; inf if less than half reached it; for branches after the branch
    already: int = 0  # runs whose trunk reached it before the branch


@dataclass(frozen=True, eq=False)
class Profile:
    """The share of runs whose final score is better than tau, for each tau."""

    taus: Array
    share: Band


@dataclass(frozen=True)
class StabilityGap:
    """A method's stability gaps. Intervals resample whole runs, with all their events."""

    depth: Interval  # mean of the runs; a run with several events has their mean
    share: Interval | None  # of the value before; None if that was not always above 0
    duration: Interval  # Kaplan-Meier median over events, each censored at the next; inf if less than half recovered
    regained: Interval  # share of events whose value recovered before the next event or the end
    area: Interval  # mean of the runs, in values x steps
    events: int  # number of events with evaluations before and after them, in all runs
    occurred: int = 0  # number of all events of these runs


@dataclass(frozen=True)
class EventTotals:
    """A summary of a method's events."""

    count: int  # events of all runs
    runs: int  # runs with events
    seconds: float  # mean duration of an event
    networks: tuple[NetworkChange, ...]  # means over the events
    listed: tuple[tuple[int, EventRecord], ...]  # (seed, record) of each run's first events


@dataclass(frozen=True, eq=False)
class MeasureCurve:
    """One measure of one network over time: the mean, lowest and highest of the seeds."""

    network: str
    measure: str
    steps: Array
    mean: Array
    low: Array
    high: Array
    n: int


@dataclass(frozen=True)
class Spread:
    """The mean, lowest and highest value of a method's runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Cost:
    """Wall time and speed."""

    seconds: Spread  # for branches with the time of their trunk
    own_seconds: float  # mean without the time of the trunk, over the runs for which it is known
    updates_per_second: Spread
    n: int


@dataclass(frozen=True, eq=False)
class MethodResults:
    """One method in one environment or in all of an agent's; scores are None if no run has finished."""

    method: str
    runs: tuple[RunScores, ...]  # by seed, also unfinished ones; for several environments only finished ones
    curve: Curve | None  # None without evaluations; for several environments, None unless all have the same steps
    final: Aggregates | None
    area: Aggregates | None
    profile: Profile | None  # of final scores
    # In one environment only:
    normalised: Aggregates | None = None  # final scores
    threshold: ThresholdReached | None = None
    gap: StabilityGap | None = None  # None without events that have evaluations before and after them
    no_gap: str = ""  # why a method that acts has no stability gap, in words
    gap_without_event: StabilityGap | None = None
    """For branches on which nothing was done: the gap after the branch, as if there had been an event."""
    events: EventTotals | None = None  # None without events
    measures: tuple[MeasureCurve, ...] = ()
    also: Mapping[str, Aggregates] = field(default_factory=dict)  # final values on other examples, by name
    also_curves: tuple[MeasureCurve, ...] = ()  # the same over time; their network is empty
    over_phases: Aggregates | None = None  # mean of the values at the ends of phases
    forgetting: Aggregates | None = None
    phases: PhaseMatrix | None = None
    cost: Cost | None = None
    published: Path | None = None  # for results of others, the file that they were read from

    @property
    def finished(self) -> list[RunScores]:
        """The runs with a final score: those that finished or diverged."""
        return [run for run in self.runs if run.final is not None]

    @property
    def n(self) -> int:
        """The number of runs with a final score."""
        return len(self.finished)
