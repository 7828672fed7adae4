"""All settings of a run, in groups: set by the command line, stored in `config.json`, and used to build a work."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from fire_rl.fire import Method, PlasticityManager, Schedule, parse_method, parse_regularizer

from .lines import Reader
from .metric import Metric
from .settings import DriverSettings, Fact, flag, names_with
from .work import Work

Settings = dict[str, dict[str, Any]]  # the values by group (such as run and agent) and name


@dataclass(frozen=True)
class Methods:
    """The methods of a run: one that acts at events, and regularizers that act at every gradient step."""

    method: Method
    regularizers: tuple[Method, ...]


@dataclass(frozen=True)
class Config:
    """The settings of a run of one learner. All learners have the group `run`; other groups are a learner's own."""

    metric: ClassVar[Metric]  # the metric by which the run is evaluated
    subject: ClassVar[str] = "env"  # the setting that names the environment or the data
    acts: ClassVar[bool] = False  # whether the result is a policy, which can be evaluated and filmed

    run: DriverSettings

    @property
    def published(self) -> Mapping[str, Method]:
        """The methods with the values that publications use for this learner, by the method's name."""
        return {}

    @cached_property
    def methods(self) -> Methods:
        """The run's methods, parsed once; modules of the user's own that they name are imported."""
        regularizers = tuple(parse_regularizer(text, self.published) for text in self.run.regularize)
        return Methods(parse_method(self.run.reinit, self.published), regularizers)

    def altered(self, **values: Any) -> Self:
        """Return the same settings with other values, by the names of the settings in any group."""
        groups = {each.name: getattr(self, each.name) for each in fields(self)}
        if unknown := values.keys() - {each.name for group in groups.values() for each in fields(group)}:
            raise TypeError(f"no setting is called {min(unknown)!r}")
        for name, group in groups.items():
            own = {each.name for each in fields(group)} & values.keys()
            groups[name] = replace(group, **{key: values[key] for key in own})
        other = replace(self, **groups)
        same = (other.run.reinit, other.run.regularize) == (self.run.reinit, self.run.regularize)
        if same and "methods" in vars(self):
            vars(other)["methods"] = self.methods
        return other

    def by_group(self) -> Settings:
        """Return all settings by group and name."""
        return {each.name: asdict(getattr(self, each.name)) for each in fields(self)}

    def by_name(self) -> dict[str, Any]:
        """Return all settings by name, without their groups."""
        return {name: value for group in self.by_group().values() for name, value in group.items()}

    def names_with(self, *facts: Fact) -> tuple[str, ...]:
        """Return the names of the settings, of all groups, for which at least one of these facts holds."""
        return tuple(name for each in fields(self) for name in names_with(getattr(self, each.name), *facts))

    def check(self) -> None:
        """Raise ValueError in one line if a value is not allowed."""
        self.run.check()
        self.run.check_together()
        if not (scheduled := self.run.scheduled):
            return
        if self.run.reinit == "none":
            raise ValueError(f"{flag(scheduled[0])} needs a method: give --reinit fire, for example")
        if not self.methods.method.acts_at_events:
            always = f"{self.run.reinit} acts after every update"
            raise ValueError(f"{flag(scheduled[0])} given; {always} and takes no schedule")

    def resolved(self) -> Self:
        """Return the settings with the default schedule written out as steps or a period.

        The default depends on the run's length; written out, a longer --steps does not move the events.
        """
        if not self.methods.method.acts_at_events or self.run.scheduled:
            return self
        if period := self.usual_period:
            return self.altered(reinit_every=period, reinit_from=self.run.usual_beginning)
        return self.altered(reinit_at=self.run.usual_events)

    @property
    def repeats_by_itself(self) -> bool:
        """Whether the run has phases of data and the method's usual period; a branch then adds no event of its own."""
        period = self.usual_period
        return bool(self.run.phase_starts) and period is not None and self.run.reinit_every == period

    @property
    def usual_period(self) -> int | None:
        """Updates between two events of the method if no schedule is given. If it is None, `usual_events` are used."""
        return self.run.usual_period(self.methods.method.usual_period)

    @property
    def learning_rate(self) -> float | None:
        """The learning rate, which a run that diverged may need to lower; None if there is none."""
        return None

    def score_in_words(self, value: float) -> str | None:
        """Return a value of the metric as a normalised score in words, or None if there is no such score."""
        return None

    def choices(self) -> Mapping[str, str]:
        """Return lists of choices for --help-all, by their titles."""
        return {}

    def operations(self) -> float:
        """Return the estimated number of floating-point operations of one gradient update; 0 if it is not known."""
        return 0.0

    @property
    def reader(self) -> Reader:
        """The reader for the metrics of such a run."""
        return Reader(self.run.progress, self.metric)

    def schedule(self) -> Schedule:
        """Return the schedule of the method's events."""
        return self.run.schedule()

    def manager(self, work: Work) -> PlasticityManager:
        """Return the manager that applies the run's methods to the work's networks."""
        run, methods = self.run, self.methods
        if run.probe_every is not None:
            work.check_probes()
        inputs = work.inputs() if methods.method.needs_inputs else None
        return PlasticityManager(
            work.networks(), methods.method, self.schedule(), methods.regularizers, run.triggers(), work.method_seed,
            unit=run.unit, rehearsal=work.rehearse, inputs=inputs,
        )  # fmt: skip
