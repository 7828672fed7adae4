"""The results of a comparison as plain values: `analysis.analyse` computes them, and the report shows them.

`Results` contains everything. The results of each method are `method_results.MethodResults`, whose file says what the
words mean. Notes are sentences, not yet escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fire_rl.envs.reference_scores import References
from fire_rl.training.metric import RETURN, Metric

from ..kept import setting_words
from .families import Family
from .method_results import Curve, MethodResults, RunScores
from .records import Run
from .resampling import RESAMPLES
from .statistics import Interval

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
