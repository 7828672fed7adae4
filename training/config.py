"""Every setting of a run, in groups: the command line fills it, `config.json` keeps it, a work is built from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from fire_rl.fire import Method, PlasticityManager, Schedule, parse_method, parse_regularizer

from .lines import Reader
from .metric import Metric
from .settings import DriverSettings, flag
from .work import Work

Settings = dict[str, dict[str, Any]]  # by group, such as run and agent


@dataclass(frozen=True)
class Methods:
    """What acts on the networks of a run: the method at its events, regularizers at every gradient step."""

    method: Method
    regularizers: tuple[Method, ...]


@dataclass(frozen=True)
class Config:
    """The settings of a run of one learner; each learner has groups of its own, `run` is there for all."""

    metric: ClassVar[Metric]  # what the run is judged by
    subject: ClassVar[str] = "env"  # the setting that says what is learned from
    acts: ClassVar[bool] = False  # whether the result is a policy, which can be evaluated and filmed

    run: DriverSettings

    @property
    def published(self) -> Mapping[str, Method]:
        """What the publications do with the learner, by the method's name."""
        return {}

    @cached_property
    def methods(self) -> Methods:
        """The run's methods, parsed once; what they name of the user's own is imported."""
        regularizers = tuple(parse_regularizer(text, self.published) for text in self.run.regularize)
        return Methods(parse_method(self.run.reinit, self.published), regularizers)

    def altered(self, **values: Any) -> Self:
        """The same with other values, by the names of the settings, whatever their group."""
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
        """Every setting, by group and name."""
        return {each.name: asdict(getattr(self, each.name)) for each in fields(self)}

    def by_name(self) -> dict[str, Any]:
        """Every setting, whatever group it is of."""
        return {name: value for group in self.by_group().values() for name, value in group.items()}

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        self.run.check()
        if not (scheduled := self.run.scheduled):
            return
        if self.run.reinit == "none":
            raise ValueError(f"{flag(scheduled[0])} needs a method: give --reinit fire, for example")
        if not self.methods.method.acts_at_events:
            raise ValueError(
                f"{flag(scheduled[0])} given; {self.run.reinit} acts after every update and takes no schedule"
            )

    def resolved(self) -> Self:
        """With what depends on the run's length spelled out, so that a longer --steps moves nothing."""
        if not self.methods.method.acts_at_events or self.run.scheduled:
            return self
        if period := self.usual_period:
            return self.altered(reinit_every=period, reinit_from=self.run.usual_beginning)
        return self.altered(reinit_at=self.run.usual_events)

    @property
    def repeats_by_itself(self) -> bool:
        """Whether the method's events in phases of data follow from its period alone, so that a branch adds none."""
        return (
            bool(self.run.phase_starts) and self.usual_period is not None and self.run.reinit_every == self.usual_period
        )

    @property
    def usual_period(self) -> int | None:
        """Updates between two events of the method where no schedule is given; none: see `usual_events`."""
        return self.run.usual_period(self.methods.method.usual_period)

    @property
    def learning_rate(self) -> float | None:
        """The setting that a run that diverged may want lower."""
        return None

    def score_in_words(self, value: float) -> str | None:
        """A value of the metric as a normalised score, where there is one."""
        return None

    def choices(self) -> Mapping[str, str]:
        """For --help-all: lists of what there is to choose from, by their titles."""
        return {}

    def operations(self) -> float:
        """Floating-point operations of one gradient update, by arithmetic alone; few where nothing is known."""
        return 0.0

    @property
    def reader(self) -> Reader:
        """Reads the metrics of such a run."""
        return Reader(self.run.progress, self.metric)

    def schedule(self) -> Schedule:
        """When events happen."""
        return self.run.schedule()

    def manager(self, work: Work) -> PlasticityManager:
        """What acts on the work's networks, and when."""
        run, methods = self.run, self.methods
        return PlasticityManager(
            work.networks(),
            methods.method,
            self.schedule(),
            methods.regularizers,
            run.triggers(),
            work.method_seed,
            unit=run.unit,
            rehearsal=work.rehearse,
        )
