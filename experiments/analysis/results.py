"""What a comparison found, as plain values: `analysis.analyse` fills them in; figures, page and tables show them.

Everything is reached from `Results`. Arrays are NumPy's. Intervals are `statistics.Interval`s (a number, its bounds, n,
and in words how they were made), bands are `statistics.Band`s (the same over an axis). Bounds are NaN where n allows
none (`Interval.bounded` says so). "Values" are of the comparison's metric, such as returns or losses, and "steps" are
counted in its unit, such as environment steps. Notes are sentences for people, not yet escaped.
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
    """Method that the others are compared with; unset: none where it was run, else the first."""
    reference: str | None = None
    """Method that is compared with each other one; unset: fire where it was run."""
    threshold: float | Literal["success", "baseline"] | None = None
    """Value of the metric that counts as reached, or the baseline's final one; unset: see `Level.meaning`."""
    resamples: int = RESAMPLES
    """Of a bootstrap, where there are too many to look at all of them."""
    confidence: float = 0.95
    seed: int = 0
    """Of resamples that are drawn: the same runs give the same numbers."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """How methods are spelled that have been given other names, by these."""

    def spelled(self, method: str) -> str:
        """A method as it is spelled on the command line; what it is called must change no number."""
        return self.spellings.get(method, method)


@dataclass(frozen=True)
class Axis:
    """A setting that runs of one method differ in."""

    name: str  # such as run.replay_ratio
    values: tuple[str, ...]  # as they are written, in order
    following: tuple[str, ...] = ()  # settings that are different with it

    @property
    def words(self) -> str:
        return setting_words(self.name)


@dataclass(frozen=True)
class Aggregates:
    """One score of a method's runs, three ways."""

    iqm: Interval
    mean: Interval
    median: Interval  # of the runs; across environments: of the environments' means, as in rliable


@dataclass(frozen=True)
class Gap:
    """The stability gap of one event: values get worse, and recover or not, before the run's next event or its end.

    Known as finely as there are evaluations: where the one right after the event is as good or better, it is 0 deep and
    0 long.
    """

    step: int
    depth: float  # how much worse the worst value until the recovery is than the one before; 0 where none is worse
    share: float  # depth / value before; NaN where that is not above 0
    duration: float  # steps to the first evaluation as good as the one before, or better; inf where there was none
    observed: int  # steps from the event to the last evaluation looked at: what a duration of inf is censored at
    cut: bool = False  # whether that was the run's next event, and not its end


@dataclass(frozen=True, eq=False)
class RunScores:
    """One run: its points for display, and its scores, which are None until it has finished or diverged."""

    run: Run
    steps: Array  # of its evaluations, each step once: at an event the one after it
    values: Array
    before: Mapping[int, float]  # step: value just before an event that it was evaluated after, too
    counted: bool  # in its method's curve: finished or diverged, or its method has no such run
    final: float | None  # mean of the scheduled evaluations in the last 10% of the steps, of a branch its own
    area: float | None  # under the curve, divided by its length; of a branch from the branch on
    normalised: float | None  # `final`, where the environment has references
    normalised_area: float | None
    gaps: tuple[Gap, ...]  # of events with evaluations around them
    steps_to_threshold: float | None = None  # inf: not reached; of a branch looked for from the branch on
    already: bool = False  # whether its trunk had reached the threshold before the branch
    pretended: Gap | None = None  # the same of a branch point where nothing was done: what noise alone makes of it
    phases: RunPhases | None = None  # where its data came in phases
    also: Mapping[str, float | None] = field(default_factory=dict)  # the final value on other examples, by name
    scale: tuple[float, float] = (0.0, 1.0)  # the score of a value of 0, and what one more adds to it

    @property
    def reached(self) -> bool | None:
        """Whether it reached the threshold."""
        return None if self.steps_to_threshold is None else math.isfinite(self.steps_to_threshold)


@dataclass(frozen=True, eq=False)
class Curve:
    """Value (or normalised score) over steps, of a method's counted runs."""

    steps: Array
    iqm: Band
    mean: Band
    median: Band
    interpolated: bool  # whether some run had no evaluation at some of these steps
    before: Mapping[float, Aggregates] = field(default_factory=dict)
    """Step: the value just before the event there, where all runs have one; the bands hold the one after it."""


@dataclass(frozen=True)
class ThresholdReached:
    """When a method's runs reached the threshold, which is held fixed while they are resampled."""

    share: Interval  # of the runs that did
    median_steps: Interval  # Kaplan-Meier; inf: less than half of them did; of branches not before the branch
    already: int = 0  # runs whose trunk had reached it before the branch


@dataclass(frozen=True, eq=False)
class Profile:
    """Share of runs whose final score is better than tau."""

    taus: Array
    share: Band


@dataclass(frozen=True)
class StabilityGap:
    """A method's stability gaps. Intervals resample whole runs, with all their events."""

    depth: Interval  # mean of the runs; of a run with several events, their mean
    share: Interval | None  # of the value before; None where that was not above 0 everywhere
    duration: Interval  # Kaplan-Meier median over events, each censored at the next; inf: less than half came back
    regained: Interval  # share of events whose value came back before the next event or the end
    events: int  # with evaluations around them, all runs together
    occurred: int = 0  # events of these runs, evaluated or not


@dataclass(frozen=True)
class EventTotals:
    """A method's event records."""

    count: int  # all runs together
    runs: int  # that had any
    seconds: float  # mean of an event
    networks: tuple[NetworkChange, ...]  # means of an event
    listed: tuple[tuple[int, EventRecord], ...]  # (seed, record), each run's first ones


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
class Spread:
    """A number of a method's runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Cost:
    """Wall time and speed."""

    seconds: Spread  # of branches with their trunk's
    own_seconds: float  # the mean without their trunk's, of the runs of which that is known
    updates_per_second: Spread
    n: int


@dataclass(frozen=True, eq=False)
class MethodResults:
    """One method, in one environment or in all of an agent's. What needs finished runs is None where there are none."""

    method: str
    runs: tuple[RunScores, ...]  # by seed, unfinished ones too; of several environments the finished ones, one by one
    curve: Curve | None  # None where no run has an evaluation; across environments: where all have the same steps
    final: Aggregates | None
    area: Aggregates | None
    profile: Profile | None  # of final scores
    # In one environment only:
    normalised: Aggregates | None = None  # final scores
    threshold: ThresholdReached | None = None
    gap: StabilityGap | None = None  # None where there were no events with evaluations around them
    no_gap: str = ""  # why a method that acts has no stability gap, in words
    pretended: StabilityGap | None = None
    """Of branches on which nothing was done: the gap after the evaluation at the branch, as if something had been."""
    events: EventTotals | None = None  # None where there were none
    measures: tuple[MeasureCurve, ...] = ()
    also: Mapping[str, Aggregates] = field(default_factory=dict)  # final values on other examples, by name
    also_curves: tuple[MeasureCurve, ...] = ()  # the same over time; their network is empty
    over_phases: Aggregates | None = None  # mean over the ends of phases
    forgetting: Aggregates | None = None
    phases: PhaseMatrix | None = None
    cost: Cost | None = None
    published: Path | None = None  # the file that its runs are of, where others made them

    @property
    def finished(self) -> list[RunScores]:
        """Runs with a result: finished, or diverged."""
        return [run for run in self.runs if run.final is not None]

    @property
    def n(self) -> int:
        return len(self.finished)


@dataclass(frozen=True)
class TrunkCounts:
    """Of how many trunks the first method's branch did better than the second's."""

    better: int
    tied: int
    share: Interval  # better of all


@dataclass(frozen=True)
class Together:
    """A difference of means as one of several that are looked at together."""

    p: float  # of its own, two-sided
    corrected: float  # by Holm, for all of them
    interval: Interval  # NaN where with so few runs there is none
    test: str  # in words


@dataclass(frozen=True)
class ScoreContrast:
    """Two methods in one score."""

    iqm: Interval  # the first's minus the second's
    mean: Interval
    improvement: Interval  # probability that a run of the first has the better score; ties count half
    together: Together
    trunks: TrunkCounts | None = None  # only where paired, all environments together


@dataclass(frozen=True)
class Contrast:
    """`method` against `against`."""

    method: str
    against: str
    final: ScoreContrast
    area: ScoreContrast
    paired: bool  # branches of the same trunks, resampled jointly
    trunk_differences: tuple[float, ...] = ()  # in the final score, one of each trunk, where paired


@dataclass(frozen=True)
class Level:
    """A value that runs are held against."""

    value: float
    meaning: str  # in words, such as "90% of the best other method's mean final return (redo: 10.2)"


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared:
    """Methods of one agent beside each other."""

    agent: str
    where: str  # the environment, with the metric where its runs have several; or how many environments together
    methods: tuple[MethodResults, ...]  # baseline first, reference last, the others in between as they were found
    baseline: str
    reference: str | None
    contrasts: tuple[Contrast, ...]  # each method against the baseline, then the reference against each other one
    notes: tuple[str, ...]
    family: Family | None = None  # of the contrasts' final scores; None where none has an interval
    branch_step: int | None = None  # where all runs are branches made at one step
    trunk: str | None = None  # method whose curve is everybody's up to there
    metric: Metric = RETURN  # that all of its scores are of
    unit: str = ENVIRONMENT_STEPS  # that its steps are counted in
    place: tuple[str, ...] = ()  # its value of each axis of the results

    @property
    def own(self) -> tuple[MethodResults, ...]:
        """Methods that were run here: all but published ones."""
        return tuple(method for method in self.methods if method.published is None)

    @property
    def curves(self) -> dict[str, Curve]:
        return {method.method: method.curve for method in self.methods if method.curve}

    @property
    def drawn(self) -> dict[str, tuple[RunScores, ...]]:
        """Each method's runs, where figures show single ones."""
        return {}

    def method(self, name: str) -> MethodResults:
        return next(results for results in self.methods if results.method == name)

    @property
    def short_unit(self) -> str:
        """What a step is called where there is little room, such as steps or updates."""
        return self.unit.split()[-1]

    @property
    def acts(self) -> bool:
        """Whether a policy acts in an environment, episode by episode: then steps are the environment's."""
        return self.unit == ENVIRONMENT_STEPS


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Compared):
    """All methods of one agent in one environment."""

    env: str
    threshold: Level | None  # None without finished runs
    references: References | None  # returns of a random policy and of success, where they are known

    @property
    def drawn(self) -> dict[str, tuple[RunScores, ...]]:
        return {method.method: method.runs for method in self.methods}


@dataclass(frozen=True, eq=False, kw_only=True)
class Across(Compared):
    """All environments of one agent together; only where each has a normalised score and every method finished runs."""

    envs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that the report shows."""

    options: Options
    comparisons: tuple[Comparison, ...]  # one for each agent, environment and metric
    across: tuple[Across, ...]  # one for each agent that was run in several environments, where it can be made
    trunks: tuple[Run, ...]  # what branches were made from; compared with nothing
    methods: tuple[str, ...]  # of all comparisons, in one order, for colours
    notes: tuple[str, ...]  # on the whole; each comparison has its own besides
    axes: tuple[Axis, ...] = ()  # settings that runs differ in, each value a comparison of its own
    published: tuple[str, ...] = ()  # methods of others
