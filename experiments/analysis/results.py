"""The results of a comparison as plain values: `analysis.analyse` computes them, and the report shows them.

`Results` contains everything. Arrays are NumPy arrays. An interval is a `statistics.Interval` (a number, its bounds, n,
and in words how they were computed); a band is a `statistics.Band` (the same at each point of an axis). Bounds are NaN
if there are too few runs (see `Interval.bounded`). "Values" are values of the comparison's metric, such as returns or
losses; "steps" are counted in its unit, such as environment steps. Notes are sentences, not yet escaped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fire_rl.envs.reference_scores import References
from fire_rl.training.metric import RETURN, Metric

from ..kept import setting_words
from .families import Family
from .phases import PhaseMatrix, RunPhases
from .records import Array, EventRecord, NetworkChange, Run
from .resampling import RESAMPLES
from .statistics import Band, Interval

ENVIRONMENT_STEPS = "environment steps"


@dataclass(frozen=True)
class Options:
    """How runs are compared."""

    baseline: str | None = None
    """The method that the others are compared with; unset: the method none if it was run, else the first."""
    reference: str | None = None
    """The method that is compared with each other one; unset: fire if it was run."""
    threshold: float | Literal["success", "baseline"] | None = None
    """The value of the metric to reach, or "baseline" for the baseline's final value; unset: see `Level.meaning`."""
    resamples: int = RESAMPLES
    """The number of resamples of a bootstrap, if there are too many to enumerate all."""
    confidence: float = 0.95
    seed: int = 0
    """The seed of drawn resamples: the same runs give the same numbers."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """The spelling on the command line of each method that has a label, by its label."""

    def spelled(self, method: str) -> str:
        """Return a method as it is spelled on the command line; seeds depend on it, so that labels change no number."""
        return self.spellings.get(method, method)


@dataclass(frozen=True)
class Axis:
    """A setting in which runs of one method differ."""

    name: str  # such as run.replay_ratio
    values: tuple[str, ...]  # as text, in order
    following: tuple[str, ...] = ()  # settings whose values it determines

    @property
    def words(self) -> str:
        """The setting's name in words, such as "replay ratio"."""
        return setting_words(self.name)


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
    steps_to_threshold: float | None = (
        None  # inf if not reached; for a branch, only steps after the branch are searched
    )
    already: bool = False  # whether its trunk reached the threshold before the branch
    pretended: Gap | None = None  # the gap at the branch of a run in which nothing was done, which is only noise
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
    pretended: StabilityGap | None = None
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


@dataclass(frozen=True)
class TrunkCounts:
    """The number of trunks of which the first method's branch did better than the second's."""

    better: int
    tied: int
    share: Interval  # `better` as a share of all trunks


@dataclass(frozen=True)
class Together:
    """The test of a difference of means, as one of several differences that are tested together."""

    p: float  # uncorrected, two-sided
    corrected: float  # corrected by Holm's method for all differences
    interval: Interval  # simultaneous for all differences; NaN if there are too few runs
    test: str  # the name of the test, in words


@dataclass(frozen=True)
class ScoreContrast:
    """Two methods in one score."""

    iqm: Interval  # the first's minus the second's
    mean: Interval
    improvement: Interval  # probability that a run of the first has the better score; ties count half
    together: Together
    trunks: TrunkCounts | None = None  # only if paired; all environments together


@dataclass(frozen=True)
class Contrast:
    """The comparison of `method` with `against`."""

    method: str
    against: str
    final: ScoreContrast
    area: ScoreContrast
    paired: bool  # whether the runs are branches of the same trunks, which are resampled jointly
    trunk_differences: tuple[float, ...] = ()  # differences of the final score, one for each trunk; only if paired


@dataclass(frozen=True)
class Level:
    """A value that runs are compared with, and what it is."""

    value: float
    meaning: str  # in words, such as "90% of the best other method's mean final return (redo: 10.2)"


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared:
    """The compared methods of one agent, in one environment or in all."""

    agent: str
    where: str  # the environment, with the metric if there are several; or the number of environments
    methods: tuple[MethodResults, ...]  # the baseline first, the reference last, the others in the order of the runs
    baseline: str
    reference: str | None
    contrasts: tuple[Contrast, ...]  # each method against the baseline, then the reference against each other one
    notes: tuple[str, ...]
    family: Family | None = None  # of the differences in the final score; None if none has an interval
    branch_step: int | None = None  # the step of the branch; None unless all runs are branches made at one step
    trunk: str | None = None  # the method whose curve shows all trunks up to the branch
    metric: Metric = RETURN  # of all scores
    unit: str = ENVIRONMENT_STEPS  # that steps are counted in
    place: tuple[str, ...] = ()  # its value of each axis of the results

    @property
    def own(self) -> tuple[MethodResults, ...]:
        """The methods that were run here, without published ones."""
        return tuple(method for method in self.methods if method.published is None)

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves by method, of the methods that have one."""
        return {method.method: method.curve for method in self.methods if method.curve}

    @property
    def drawn(self) -> dict[str, tuple[RunScores, ...]]:
        """Each method's runs, if figures show single runs; empty for several environments."""
        return {}

    def method(self, name: str) -> MethodResults:
        """Return the results of the method of this name."""
        return next(results for results in self.methods if results.method == name)

    @property
    def short_unit(self) -> str:
        """The unit of steps in one word, such as steps or updates."""
        return self.unit.split()[-1]

    @property
    def acts(self) -> bool:
        """Whether a policy acts in an environment; steps are then environment steps."""
        return self.unit == ENVIRONMENT_STEPS


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Compared):
    """All methods of one agent in one environment."""

    env: str
    threshold: Level | None  # None without finished runs
    references: References | None  # returns of a random policy and of success, if they are known

    @property
    def drawn(self) -> dict[str, tuple[RunScores, ...]]:
        """Each method's runs."""
        return {method.method: method.runs for method in self.methods}


@dataclass(frozen=True, eq=False, kw_only=True)
class Across(Compared):
    """All environments of one agent together, in normalised scores, with the methods that have runs in each of them."""

    envs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that the report shows."""

    options: Options
    comparisons: tuple[Comparison, ...]  # one for each agent, environment and metric
    across: tuple[Across, ...]  # one for each agent with several environments that have normalised scores
    trunks: tuple[Run, ...]  # from which the runs branch; not compared themselves
    methods: tuple[str, ...]  # of all comparisons, in one order, which determines their colours
    notes: tuple[str, ...]  # about all runs; each comparison has its own notes, too
    axes: tuple[Axis, ...] = ()  # settings in which runs differ; each value is a comparison of its own
    published: tuple[str, ...] = ()  # the names of published methods
