"""The request for a comparison, methods x seeds x environments, and one of its runs: a command line and a folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

from fire_rl.place import typed
from fire_rl.training.asked import words_of
from fire_rl.training.command_line import read_command_line
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS
from fire_rl.training.lines import Reader
from fire_rl.training.settings import DriverSettings, flag, names_with

from ..kept import value_text
from .axes import Axis, Flags, usual_settings, values_at, without_schedule

BRANCH = "branch"
GIVEN_BY_THE_GRID = ("seed", "threads", "run_dir", "resume", "branch_from", "env", "reinit")

TIMING = tuple(map(flag, names_with(DriverSettings, "timing")))
KEEP_REPLAY = "--keep-replay"


@dataclass(frozen=True)
class Job:
    """One run of a comparison: its folder, and the command line that begins it."""

    env: str
    method: str  # as it is spelled on the command line, including regularizers; or TRUNK
    seed: int
    folder: Path
    agent: str
    arguments: tuple[str, ...]
    start: int  # the step at which it begins, in the unit of the run's progress
    stop: int  # the step at which it ends
    updates: int  # gradient updates in between
    trunk: Path | None = None  # folder of the run that has to be finished first
    resumed_with: tuple[str, ...] = ()  # arguments besides --resume, such as the names of the user's own code
    reader: Reader = field(default_factory=Reader)  # of its metrics
    place: Mapping[str, str] = field(default_factory=dict)  # its value of each axis

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """Runs of one kind need equally much memory, and their updates take equally long."""
        return kind_of(self.env, self.place)

    @property
    def command(self) -> str:
        """The command line that begins the run, as one types it."""
        return typed(self.agent, *self.arguments)


def kind_of(env: str, place: Mapping[str, str]) -> str:
    """Return the kind of a run in an environment with these values of the axes: see `Job.kind`."""
    return " ".join([env, *place.values()])


@dataclass(frozen=True)
class Grid:
    """The request for a comparison: what is compared, and with which settings."""

    agent: str
    envs: tuple[str, ...]
    methods: tuple[str, ...]  # METHOD, METHOD:field=value, METHOD+REGULARIZER
    seeds: tuple[int, ...]
    branch_at: float | Literal["phase"] | None  # share of the steps that is the trunk; None: runs without trunks
    threads: int  # of each run
    flags: Flags  # of the training script, the same for every run
    folder: Path
    axes: tuple[Axis, ...] = ()
    home: Mapping[str, str] = field(default_factory=dict)  # values of axes that are in no run's name: see `KeptPlan`
    place: Mapping[str, str] = field(default_factory=dict)  # the value of each axis, for a grid of one combination
    same_until_later: "Grid | None" = None  # the first combination that differs only in settings that take effect later

    @cached_property
    def points(self) -> tuple["Grid", ...]:
        """One grid without axes for each combination of the axes' values."""
        if not self.axes:
            return (self,)
        found: list[Grid] = []
        later = usual_settings(self.agent).names_with("later")
        for values in product(*(axis.values for axis in self.axes)):
            given = tuple((axis.flag, (value,)) for axis, value in zip(self.axes, values, strict=True))
            point = replace(self, axes=(), flags=(*self.flags, *given))
            known = values_at(asked_for(point, self.envs[0]), self.axes)
            place = {name: value_text(value) for name, value in known.items()}
            until_later = {name: text for name, text in place.items() if name not in later}
            alike = (each for each in found if until_later.items() <= each.place.items())
            found.append(replace(point, place=place, same_until_later=next(alike, None)))
        return tuple(found)

    def read(self, *words: str) -> Config:
        """Return the settings that the training script reads from these arguments."""
        return read_command_line(words, LEARNERS[self.agent]).config


def asked_for(grid: Grid, env: str) -> Config:
    """Return the settings of a run of the grid without a method."""
    return grid.read(*words_of(flags_of_runs(grid, env, grid.seeds[0])))


def with_method(config: Config, text: str) -> Config:
    """Return the settings with METHOD+REGULARIZER+... All of it is checked except for a schedule after @."""
    reinit, *regularizers = re.split(r"\+(?=[a-zA-Z_])", without_schedule(text))
    method = config.altered(reinit=reinit, regularize=(*config.run.regularize, *regularizers))
    _ = method.methods  # parses the methods, and so checks them
    return method


def acts_at_events(agent: str, text: str) -> bool:
    """Return whether a method, given as it is spelled on the command line, acts at events."""
    return with_method(usual_settings(agent), text).methods.method.acts_at_events


def flags_of_runs(grid: Grid, env: str, seed: int) -> Flags:
    """Return the flags that the runs of one environment and seed share; those of a schedule belong to the methods."""
    subject = flag(LEARNERS[grid.agent].config.subject)
    alike = ((subject, (env,)), ("--seed", (str(seed),)), ("--threads", (str(grid.threads),)))
    return (*without(grid.flags, *TIMING), *alike)


def without(flags: Flags, *names: str) -> Flags:
    """Return the flags except those with these names."""
    return tuple((name, values) for name, values in flags if name not in names)


def only(flags: Flags, *names: str) -> Flags:
    """Return only the flags with these names."""
    return tuple((name, values) for name, values in flags if name in names)
