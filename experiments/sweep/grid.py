"""Which runs a comparison is made of: methods x seeds x environments, each an ordinary command line and run folder.

With axes (see `axes`) every combination of their values is such a comparison, with trunks of its own.

With a branch point one trunk per environment and seed is trained to it, and every method continues from the trunk's
checkpoint there: the midpoint protocol of FIRE's experiments, (1 + M) / 2 of the work of M whole runs.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

from fire_rl.place import typed
from fire_rl.training.command_line import read_command_line
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS
from fire_rl.training.lines import Reader
from fire_rl.training.settings import DriverSettings, flag, names_with
from fire_rl.training.trust import code_named

from ..kept import MOST_RUNS, place_text, run_name, value_text
from .axes import Axis, Flags, schedule_of, usual_settings, values_at, without_schedule
from .tracked import TAGS, TRACKING, tracking_words

TRUNK, BRANCH = "trunk", "branch"
GIVEN_BY_THE_GRID = ("seed", "threads", "run_dir", "resume", "branch_from", "env", "reinit")

TIMING = tuple(map(flag, names_with(DriverSettings, "timing")))
KEEP_REPLAY = "--keep-replay"
LONGEST_NAME = 220  # bytes of a folder's name; its log's and its temporary files' are somewhat longer
LONGEST_PATH = 3_900  # bytes; Linux allows 4,096 for the files in it


@dataclass(frozen=True)
class Job:
    """One run of a comparison: where it lives, and the command line that begins it."""

    env: str
    method: str  # as it is spelled, regularizers included; or TRUNK
    seed: int
    folder: Path
    agent: str
    arguments: tuple[str, ...]
    start: int  # environment step it begins at
    stop: int  # environment step it ends at
    updates: int  # gradient updates in between
    trunk: Path | None = None  # folder of the run that has to be finished first
    resumed_with: tuple[str, ...] = ()  # words that go with --resume: they name the user's own code, which may be run
    reader: Reader = field(default_factory=Reader)  # of its metrics
    place: Mapping[str, str] = field(default_factory=dict)  # its value of each axis

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def kind(self) -> str:
        """Runs of one kind take as much memory, and as long an update."""
        return kind_of(self.env, self.place)

    @property
    def command(self) -> str:
        """What one would type."""
        return typed(self.agent, *self.arguments)


def kind_of(env: str, place: Mapping[str, str]) -> str:
    return " ".join([env, *place.values()])


@dataclass(frozen=True)
class Grid:
    """What is compared."""

    agent: str
    envs: tuple[str, ...]
    methods: tuple[str, ...]  # METHOD, METHOD:field=value, METHOD+REGULARIZER
    seeds: tuple[int, ...]
    branch_at: float | Literal["phase"] | None  # share of the steps that methods have in common; None: no step
    threads: int  # of each run
    flags: Flags  # of the training script, the same for every run
    folder: Path
    axes: tuple[Axis, ...] = ()
    home: Mapping[str, str] = field(default_factory=dict)  # values of axes that no run's name carries: see `Asked`
    place: Mapping[str, str] = field(default_factory=dict)  # of one point: its value of each axis

    @cached_property
    def points(self) -> tuple["Grid", ...]:
        """A grid without axes for each combination of their values."""
        if not self.axes:
            return (self,)
        found = []
        for values in product(*(axis.values for axis in self.axes)):
            given = tuple((axis.flag, (value,)) for axis, value in zip(self.axes, values, strict=True))
            point = replace(self, axes=(), flags=(*self.flags, *given))
            known = values_at(asked_for(point, self.envs[0]), self.axes)
            found.append(replace(point, place={name: value_text(value) for name, value in known.items()}))
        return tuple(found)

    def read(self, *words: str) -> Config:
        """The settings that such a command line of the training script gives."""
        return read_command_line(words, LEARNERS[self.agent]).config


def plan(grid: Grid) -> tuple[Job, ...]:
    """Every run, in the order they are best begun; raises ValueError, in one line, where one cannot be."""
    for name, _ in grid.flags:
        if name in map(flag, GIVEN_BY_THE_GRID):
            raise ValueError(f"{name} given; each run of a comparison gets its own")
    count = len(grid.envs) * len(grid.seeds) * (len(grid.methods) + (grid.branch_at is not None))
    count *= math.prod(len(axis.values) for axis in grid.axes)
    if count > MOST_RUNS:
        raise ValueError(f"{count:,} runs asked for; allowed are {MOST_RUNS:,}: give fewer --seeds, --env or --reinit")
    order = {seed: index for index, seed in enumerate(grid.seeds)}
    jobs = sorted(
        (job for point in grid.points for job in _plan_at(point)),
        key=lambda job: (job.method != TRUNK, order[job.seed]),
    )
    folders: set[Path] = set()
    for job in jobs:
        if job.folder in folders:
            what = " or ".join([job.method, job.env, *(f"{flag(name)} {job.place[name]}" for name in job.place)])
            raise ValueError(f"{job.folder} would hold two runs: {what} or seed {job.seed} is given twice")
        folders.add(job.folder)
        check_length(job.folder)
    return tuple(jobs)


def _plan_at(grid: Grid) -> tuple[Job, ...]:
    """The runs of one combination of the axes' values."""
    asked = {env: asked_for(grid, env) for env in grid.envs}
    methods = [(text, with_method(asked[grid.envs[0]], text)) for text in grid.methods]  # parsed here, and once
    events = _check_schedule(grid, methods)
    lengths = {env: _trunk_flags(grid, config, events) for env, config in asked.items() if grid.branch_at is not None}
    trunks, others = [], []
    for seed in grid.seeds:
        for env in grid.envs:
            flags, whole = _flags(grid, env, seed), asked[env].resolved().altered(seed=seed)
            trunk = None if grid.branch_at is None else _trunk(grid, whole, flags, lengths[env])
            trunks += [trunk] if trunk else []
            for text, method in methods:
                run = whole.altered(reinit=method.run.reinit, regularize=method.run.regularize)
                words = _method_words(grid, method, text)
                if trunk:
                    others.append(_branch(grid, run, trunk, text, words))
                else:
                    words = [
                        *_words(_without(flags, "--regularize", *TRACKING)),
                        *words,
                        *tracking_words(grid.flags, grid.folder),
                    ]
                    others.append(_job(grid, run, text, words, 0, run.run.steps))
    return (*trunks, *others)


def check_length(folder: Path) -> None:
    """What no file system would take is said before anything is made."""
    longest = max(folder.parts, key=lambda part: len(os.fsencode(part)))
    if (letters := len(os.fsencode(longest))) > LONGEST_NAME:
        raise ValueError(
            f"a folder would have a name of {letters} letters, {longest[:40]}...; allowed are {LONGEST_NAME}"
        )
    if (letters := len(os.fsencode(folder.absolute()))) > LONGEST_PATH:
        raise ValueError(
            f"a folder would have a path of {letters} letters; allowed are {LONGEST_PATH}: give another --dir"
        )


def asked_for(grid: Grid, env: str) -> Config:
    """The settings of a run of the grid that has no method."""
    return grid.read(*_words(_flags(grid, env, grid.seeds[0])))


def with_method(config: Config, text: str) -> Config:
    """The settings with METHOD+REGULARIZER+..., all parts of it checked but for a schedule at its end."""
    reinit, *regularizers = re.split(r"\+(?=[a-zA-Z_])", without_schedule(text))
    method = config.altered(reinit=reinit, regularize=(*config.run.regularize, *regularizers))
    _ = method.methods  # which are parsed here
    return method


def acts_at_events(agent: str, text: str) -> bool:
    """Whether a method of a comparison, as it is spelled, has events."""
    return with_method(usual_settings(agent), text).methods.method.acts_at_events


def _check_schedule(grid: Grid, methods: Sequence[tuple[str, Config]]) -> tuple[int, ...]:
    """The steps of --reinit-at, those of single methods too, with all schedules checked as a run would."""
    steps: list[int] = []
    scheduled = _only(grid.flags, *TIMING)
    takers = [text for text, config in methods if config.methods.method.acts_at_events]
    if scheduled and not takers:
        raise ValueError(f"{scheduled[0][0]} given; none of {', '.join(grid.methods)} has events")
    plain = next((text for text in takers if not schedule_of(text)), None)  # --reinit-every and its like are for those
    known, common = list[tuple[str, object]](), dict[str, Any]()
    for text, config in methods:
        if (own := schedule_of(text)) and not config.methods.method.acts_at_events:
            raise ValueError(f"--reinit {text!r} given; {config.run.reinit} has no events, and so no schedule")
        if text not in takers:
            schedule = {}
        elif own or (scheduled and text == plain):
            flags = (*_flags(grid, grid.envs[0], grid.seeds[0]), *(own or scheduled))
            read = grid.read(*_words((*flags, ("--reinit", (config.run.reinit,)))))
            steps += read.run.reinit_at
            for trigger in read.run.triggers():
                trigger.check_name()
            schedule = {name: getattr(read.run, name) for name in names_with(read.run, "timing")}
            common = common if own else schedule
        else:
            schedule = common
        acts = _acts(grid, config.altered(**schedule))
        if same := next((other for other, acted in known if acted == acts), None):
            also = "" if same == text else f": it does the same as {same[:80]!r}, at the same events"
            raise ValueError(f"--reinit {text[:80]!r} given twice{also}")
        known.append((text, acts))
    return tuple(steps)


def _acts(grid: Grid, config: Config) -> object:
    """What a method does and when, however it is spelled, with the usual schedule where it has none."""
    methods = config.methods
    if not methods.method.acts_at_events:
        return methods
    run = config.run if grid.branch_at is not None else config.resolved().run
    usual = config.usual_period if grid.branch_at is not None else None
    return methods, run.reinit_every or usual, {run.reached(step) for step in run.reinit_at}, set(run.triggers())


def _trunk_flags(grid: Grid, config: Config, events: Sequence[int]) -> Flags:
    """What makes a trunk shorter than a whole run, and otherwise equal to its beginning."""
    settings, share = config.resolved().run, grid.branch_at
    if share == "phase":
        if not settings.phase_starts:
            raise ValueError(f"--branch-at phase given; {grid.agent} learns in no phases: give a share, such as 0.5")
        stop = settings.phase_starts[0]
    elif share is not None and 0 < share < 1:
        stop = settings.reached(round(share * settings.steps))
    else:
        raise ValueError(f"--branch-at {share} given; allowed is a share between 0 and 1, such as 0.5")
    if not 0 < stop < settings.steps:
        raise ValueError(f"--branch-at {share} given, step {stop:,} of {settings.steps:,}: too close to an end")
    if any(step <= stop for step in events):
        raise ValueError(f"--reinit-at {min(events)} given; methods begin at the branch, step {stop}: give later steps")
    kept = ("--checkpoint-at", tuple(map(str, sorted({*settings.checkpoint_at, stop}))))
    lengths = _differing(config.resolved(), config.altered(steps=stop).resolved())
    return (("--steps", (str(stop),)), kept, *lengths)


def _trunk(grid: Grid, whole: Config, flags: Flags, lengths: Flags) -> Job:
    """What the methods have in common. Its replay is kept, as branches begin with it."""
    words = _words((*_without(flags, "--steps", "--checkpoint-at", KEEP_REPLAY, *TRACKING), *lengths))
    # Untracked it is called a trunk too, by which TensorBoard's page HPARAMS tells it.
    words += tracking_words(grid.flags, grid.folder, TRUNK) or [TAGS, TRUNK]
    return _job(grid, whole, TRUNK, words, 0, int(lengths[0][1][0]))


def _branch(grid: Grid, config: Config, trunk: Job, method: str, method_words: Sequence[str]) -> Job:
    words = ["--branch-from", f"{trunk.folder}@{trunk.stop}", "--steps", str(config.run.steps)]
    words += ["--env", config.run.env] if "env" in code_named(config) else []
    words += [*method_words, *_words(_only(grid.flags, KEEP_REPLAY)), *tracking_words(grid.flags, grid.folder, BRANCH)]
    return _job(grid, config, method, words, trunk.stop, config.run.steps, trunk.folder)


def _method_words(grid: Grid, config: Config, text: str) -> list[str]:
    """What makes a run one of its method; a schedule goes to methods that have events and none of their own."""
    words = ["--reinit", config.run.reinit]
    words += ["--regularize", *config.run.regularize] if config.run.regularize else []
    schedule = schedule_of(text) or _only(grid.flags, *TIMING)
    return words + (_words(schedule) if config.methods.method.acts_at_events else [])


def _job(
    grid: Grid, config: Config, method: str, words: Sequence[str], start: int, stop: int, trunk: Path | None = None
) -> Job:
    settings = config.run
    folder = grid.folder / run_name(settings.env, method, settings.seed, place_text(grid.place, grid.home))
    resumed = [word for name in code_named(config) if name != "track" for word in _named(name, getattr(settings, name))]
    resumed += _words(_only(grid.flags, KEEP_REPLAY)) if method != TRUNK else []
    kind = BRANCH if trunk else TRUNK if method == TRUNK else None
    resumed += tracking_words(grid.flags, grid.folder, kind)
    return Job(
        settings.env,
        method,
        settings.seed,
        folder,
        LEARNERS[grid.agent].command,
        (*words, "--run-dir", str(folder)),
        start,
        stop,
        round(settings.updates_between(start, stop)),
        trunk,
        tuple(resumed),
        config.reader,
        grid.place,
    )


def _named(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    return flag(name), *((value,) if isinstance(value, str) else value)


def _flags(grid: Grid, env: str, seed: int) -> Flags:
    """What runs of one environment and seed have in common; a schedule is the methods' own."""
    subject = flag(LEARNERS[grid.agent].config.subject)
    alike = ((subject, (env,)), ("--seed", (str(seed),)), ("--threads", (str(grid.threads),)))
    return (*_without(grid.flags, *TIMING), *alike)


def _differing(whole: Config, part: Config) -> Flags:
    """Flags for what a run settles by its length, such as how long it explores, with the values of the whole run."""
    found = []
    for group in fields(whole):
        ours, theirs = vars(getattr(whole, group.name)), vars(getattr(part, group.name))
        found += [
            (flag(name), (str(value),)) for name, value in ours.items() if value != theirs[name] and name != "steps"
        ]
    return tuple(found)


def _without(flags: Flags, *names: str) -> Flags:
    return tuple((name, values) for name, values in flags if name not in names)


def _only(flags: Flags, *names: str) -> Flags:
    return tuple((name, values) for name, values in flags if name in names)


def _words(flags: Flags) -> list[str]:
    return [word for name, values in flags for word in (name, *values)]
