"""What a comparison found, as plain values: `analysis.analyse` fills them in; figures, page and tables show them.

Everything is reached from `Results`. Arrays are NumPy's. Intervals are `statistics.Interval`s (a number, its bounds, n,
and in words how they were made), bands are `statistics.Band`s (the same over an axis). Bounds are NaN where n allows
none (`Interval.bounded` says so). "Steps" are environment steps. Notes are sentences for people, not yet escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from envs.scores import References

from .records import Array, EventRecord, Run
from .statistics import Band, Interval


@dataclass(frozen=True)
class Options:
    """How runs are compared."""

    baseline: str | None = None
    """Method that the others are compared with; unset: none where it was run, else the first."""
    reference: str | None = None
    """Method that is compared with each other one; unset: fire where it was run."""
    threshold: float | Literal["success"] | None = None
    """Return that counts as reached; unset: see `Threshold.meaning`."""
    resamples: int = 2000
    """Of every bootstrap."""
    confidence: float = 0.95
    seed: int = 0
    """Of the resampling: the same runs give the same numbers."""


@dataclass(frozen=True)
class Aggregates:
    """One score of a method's runs, three ways."""

    iqm: Interval
    mean: Interval
    median: Interval  # of the runs; across environments: of the environments' means, as in rliable


@dataclass(frozen=True)
class Gap:
    """The stability gap of one event: the return falls, and comes back or not, before the run's next event or its end.

    Known as finely as there are evaluations: where the one right after the event is at least as high, it is 0 deep and
    0 long.
    """

    step: int
    depth: float  # return before the event - lowest until it is regained; 0 where it never fell
    share: float  # depth / return before; NaN where that is not above 0
    duration: float  # steps to the first evaluation at or above the return before; inf where there was none
    observed: int  # steps from the event to the last evaluation looked at: what a duration of inf is censored at
    cut: bool = False  # whether that was the run's next event, and not its end


@dataclass(frozen=True, eq=False)
class RunScores:
    """One run: its points for display, and its scores, which are None until it has finished or diverged."""

    run: Run
    steps: Array  # of its evaluations, each step once: at an event the one after it
    returns: Array
    before: Mapping[int, float]  # step: return just before the event there
    counted: bool  # in its method's curve: finished or diverged, or its method has no such run
    final: float | None  # mean of the evaluations in the last 10% of the steps
    area: float | None  # under the curve, divided by its length; of a branch from the branch on
    normalised: float | None  # `final`, where the environment has references
    normalised_area: float | None
    steps_to_threshold: float | None  # inf: not reached; of a branch looked for from the branch on
    reached: bool | None  # the threshold
    gaps: tuple[Gap, ...]  # of events with evaluations around them
    already: bool = False  # whether its trunk had reached the threshold before the branch
    pretended: Gap | None = None  # the same of a branch point where nothing was done: what noise alone makes of it


@dataclass(frozen=True, eq=False)
class Curve:
    """Return (or normalised score) over steps, of a method's counted runs."""

    steps: Array
    iqm: Band
    mean: Band
    median: Band
    n: int  # runs
    interpolated: bool  # whether some run had no evaluation at some of these steps
    before: Mapping[float, "Aggregates"] = field(default_factory=dict)
    """Step: the value just before the event there, where all runs have one; the bands hold the one after it."""


@dataclass(frozen=True)
class ThresholdReached:
    """When a method's runs reached the threshold, which is held fixed while they are resampled."""

    share: Interval  # of the runs that did
    median_steps: Interval  # Kaplan-Meier; inf: less than half of them did; of branches not before the branch
    already: int = 0  # runs whose trunk had reached it before the branch


@dataclass(frozen=True, eq=False)
class Profile:
    """Share of runs whose final score is above tau."""

    taus: Array
    share: Band


@dataclass(frozen=True)
class StabilityGap:
    """A method's stability gaps. Intervals resample whole runs, with all their events."""

    depth: Interval  # mean of the runs; of a run with several events, their mean
    share: Interval | None  # of the return before; None where that was not above 0 everywhere
    duration: Interval  # Kaplan-Meier median over events, each censored at the next; inf: less than half came back
    regained: Interval  # share of events whose return came back before the next event or the end
    events: int  # with evaluations around them, all runs together
    occurred: int = 0  # events of these runs, evaluated or not


@dataclass(frozen=True)
class NetworkTotal:
    """Events of one network, all runs of the method together: means per event."""

    name: str
    squared_frobenius_error: float
    deviation_before: float
    deviation_after: float


@dataclass(frozen=True)
class Events:
    """A method's event records."""

    count: int  # all runs together
    runs: int  # that had any
    seconds: float  # all together
    networks: tuple[NetworkTotal, ...]
    listed: tuple[tuple[int, EventRecord], ...]  # (seed, record), each run's first ones
    unlisted: int


@dataclass(frozen=True, eq=False)
class MeasureCurve:
    """One measure of one network over time: mean of the seeds, and the lowest and highest of them."""

    network: str
    measure: str
    steps: Array
    mean: Array
    low: Array
    high: Array
    n: int


@dataclass(frozen=True)
class Cost:
    """Wall time and speed, means over a method's runs. A branch's seconds include its trunk's, own_seconds do not."""

    seconds: float
    own_seconds: float
    lowest_seconds: float
    highest_seconds: float
    updates_per_second: float
    lowest_updates_per_second: float
    highest_updates_per_second: float
    n: int


@dataclass(frozen=True, eq=False)
class MethodResults:
    """One method in one environment. What needs finished runs is None where there are none."""

    method: str
    runs: tuple[RunScores, ...]  # by seed; unfinished ones too
    n: int  # runs with a result: finished, or diverged
    curve: Curve | None  # None where no run has an evaluation
    final: Aggregates | None
    area: Aggregates | None
    normalised: Aggregates | None  # final scores
    threshold: ThresholdReached | None
    profile: Profile | None  # of final returns
    gap: StabilityGap | None  # None where there were no events with evaluations around them
    events: Events | None  # None where there were none
    measures: tuple[MeasureCurve, ...]
    cost: Cost | None
    pretended: StabilityGap | None = None
    """Of branches on which nothing was done: the gap after the evaluation at the branch, as if something had been."""


@dataclass(frozen=True)
class TrunkCounts:
    """Of how many trunks the first method's branch did better than the second's."""

    better: int
    tied: int
    n: int
    share: Interval  # better of n


@dataclass(frozen=True)
class Contrast:
    """`method` against `against`: differences are method's minus against's."""

    method: str
    against: str
    final_iqm: Interval
    final_mean: Interval
    area_iqm: Interval
    area_mean: Interval
    improvement: Interval  # probability that a run of method has the higher final return; ties count half
    improvement_area: Interval
    paired: bool  # branches of the same trunks, resampled jointly
    # Only where paired, all environments together:
    trunks: TrunkCounts | None = None  # in the final return
    trunks_area: TrunkCounts | None = None
    differences: tuple[float, ...] = ()  # in the final return, a trunk each
    differences_area: tuple[float, ...] = ()


@dataclass(frozen=True)
class Threshold:
    value: float
    meaning: str  # in words, such as "90% of the best baseline's mean final return (redo, 10.2)"


@dataclass(frozen=True)
class Failing:
    """What runs that diverged count with, from there on."""

    value: float  # return
    meaning: str  # in words


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods of one agent in one environment."""

    agent: str
    env: str
    methods: tuple[MethodResults, ...]  # baseline first, reference last, the others in between as they were found
    baseline: str
    reference: str | None
    contrasts: tuple[Contrast, ...]  # each method against the baseline, then the reference against each other one
    threshold: Threshold | None  # None without finished runs
    references: References | None  # returns of a random policy and of success, where they are known
    branch_step: int | None  # where all runs are branches made at one step
    notes: tuple[str, ...]
    failing: Failing | None = None  # None where no run diverged

    def method(self, name: str) -> MethodResults:
        return next(results for results in self.methods if results.method == name)


@dataclass(frozen=True, eq=False)
class AcrossMethod:
    """One method in all environments of an agent, in normalised scores."""

    method: str
    n: int  # runs
    final: Aggregates
    area: Aggregates
    curve: Curve | None  # where all environments have the same steps
    profile: Profile
    runs: tuple[RunScores, ...] = ()  # finished ones, environment by environment


@dataclass(frozen=True, eq=False)
class Across:
    """All environments of one agent together; only where each has a normalised score and every method finished runs."""

    agent: str
    envs: tuple[str, ...]
    methods: tuple[AcrossMethod, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that the report shows."""

    options: Options
    comparisons: tuple[Comparison, ...]  # one for each agent and environment
    across: tuple[Across, ...]  # one for each agent that was run in several environments, where it can be made
    trunks: tuple[Run, ...]  # what branches were made from; compared with nothing
    methods: tuple[str, ...]  # of all comparisons, in one order, for colours
    notes: tuple[str, ...]  # on the whole; each comparison has its own besides
