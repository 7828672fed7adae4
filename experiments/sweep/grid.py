"""Which runs a comparison is made of: methods x seeds x environments, each an ordinary command line and run folder.

With a branch point one trunk per environment and seed is trained to it, and every method continues from the trunk's
checkpoint there: the midpoint protocol of FIRE's experiments, (1 + M) / 2 of the work of M whole runs.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fire import parse_intervention, parse_regularizer
from training.algorithms import Config, algorithm_of, config_to_json
from training.beginning import folder_name
from training.command_line import Preset, read_command_line
from training.settings import SCHEDULES, flag
from training.trust import code_named

from ..kept import MOST_RUNS

ROOT = Path(__file__).resolve().parents[2]  # where the training scripts are
TRUNK = "trunk"
GIVEN_BY_THE_GRID = ("seed", "threads", "run_dir", "resume", "branch_from", "env", "reinit")

SCHEDULED = (*map(flag, SCHEDULES), "--reinit-cooldown")
# What may differ between runs that are compared: which they are, where they run, what they write on the way.
FREE = (
    "env", "seed", "reinit", "device", "log_every", "checkpoint_every", "checkpoint_at", "video", "keep_replay",
    *SCHEDULES,
)  # fmt: skip
KEEP_REPLAY = "--keep-replay"
LONGEST_NAME = 220  # bytes of a folder's name; its log's and its temporary files' are somewhat longer
LONGEST_PATH = 3_900  # bytes; Linux allows 4,096 for the files in it

Flags = tuple[tuple[str, tuple[str, ...]], ...]  # each with the values given to it


@dataclass(frozen=True)
class Job:
    """One run of a comparison: where it lives, and the command line that begins it."""

    env: str
    method: str  # as it is spelled, regularizers included; or TRUNK
    seed: int
    folder: Path
    script: Path
    arguments: tuple[str, ...]
    start: int  # environment step it begins at
    stop: int  # environment step it ends at
    updates: int  # gradient updates in between
    trunk: Path | None = None  # folder of the run that has to be finished first
    resumed_with: tuple[str, ...] = ()  # words that go with --resume: they name the user's own code, which may be run

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def command(self) -> str:
        """What one would type."""
        return shlex.join(("python", self.script.name, *self.arguments))


@dataclass(frozen=True)
class Method:
    """METHOD+REGULARIZER+... in its parts."""

    spelled: str
    reinit: str
    regularizers: tuple[str, ...]
    has_events: bool


@dataclass(frozen=True)
class Grid:
    """What is compared."""

    agent: str
    envs: tuple[str, ...]
    methods: tuple[str, ...]  # METHOD, METHOD:field=value, METHOD+REGULARIZER
    seeds: tuple[int, ...]
    branch_at: float | None  # share of the steps that methods have in common; None: methods run from the start
    threads: int  # of each run
    flags: Flags  # of the training script, the same for every run
    folder: Path


def plan(grid: Grid, presets: Mapping[str, Preset]) -> tuple[Job, ...]:
    """Every run, in the order they are best begun; raises ValueError, in one line, where one cannot be."""
    for name, _ in grid.flags:
        if name in map(flag, GIVEN_BY_THE_GRID):
            raise ValueError(f"{name} given; each run of a comparison gets its own")
    count = len(grid.envs) * len(grid.seeds) * (len(grid.methods) + (grid.branch_at is not None))
    if count > MOST_RUNS:
        raise ValueError(f"{count:,} runs asked for; allowed are {MOST_RUNS:,}: give fewer --seeds, --env or --reinit")
    asked = {env: asked_for(grid, env, presets) for env in grid.envs}
    methods = [parse_method(text, asked[grid.envs[0]]) for text in grid.methods]
    events = _check_schedule(grid, methods, presets)
    wholes = {env: config.resolved() for env, config in asked.items()}
    lengths = {env: _trunk_flags(grid, config, events) for env, config in asked.items() if grid.branch_at is not None}
    trunks, others = [], []
    for seed in grid.seeds:
        for env in grid.envs:
            flags, whole = _flags(grid, env, seed), _altered(wholes[env], seed=seed)
            if grid.branch_at is None:
                others += [_from_the_start(grid, whole, flags, method) for method in methods]
            else:
                trunks.append(_trunk(grid, whole, flags, lengths[env]))
                others += [_branch(grid, whole, trunks[-1], method) for method in methods]
    jobs = (*trunks, *others)
    folders: set[Path] = set()
    for job in jobs:
        if job.folder in folders:
            raise ValueError(
                f"{job.folder} would hold two runs: {job.method}, {job.env} or seed {job.seed} is given twice"
            )
        folders.add(job.folder)
        _check_length(job.folder)
    return jobs


def _check_length(folder: Path) -> None:
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


def settled(grid: Grid, presets: Mapping[str, Preset]) -> dict[str, Any]:
    """What all runs of a folder have in common; environments, methods and seeds may be added later."""
    asked = config_to_json(asked_for(grid, grid.envs[0], presets).resolved())
    settings = {name: value for group in asked.values() if isinstance(group, dict) for name, value in group.items()}
    schedule = {name.strip("-").replace("-", "_"): list(values) for name, values in grid.flags if name in SCHEDULED}
    ours = {"agent": grid.agent, "branch_at": grid.branch_at, "threads": grid.threads}
    found = {name: value for name, value in settings.items() if name not in FREE} | schedule | ours
    return json.loads(json.dumps(found))  # as it will be read back


def asked_for(grid: Grid, env: str, presets: Mapping[str, Preset]) -> Config:
    """The settings of a run of the grid that has no method."""
    words = _words(_flags(grid, env, grid.seeds[0]))
    return read_command_line(words, presets, f"train_{grid.agent}.py", "").config


def parse_method(text: str, config: Config) -> Method:
    """METHOD+REGULARIZER+..., all parts of it checked."""
    reinit, *regularizers = re.split(r"\+(?=[a-zA-Z_])", text)
    intervention = parse_intervention(reinit, presets=algorithm_of(config).interventions)
    for regularizer in regularizers:
        parse_regularizer(regularizer)
    return Method(text, reinit, tuple(regularizers), intervention.acts_at_events)


def _check_schedule(grid: Grid, methods: Sequence[Method], presets: Mapping[str, Preset]) -> tuple[int, ...]:
    """The steps of --reinit-at, with the rest of the schedule checked as a run would."""
    scheduled = _only(grid.flags, *SCHEDULED)
    if not scheduled:
        return ()
    takers = [method.reinit for method in methods if method.has_events]
    if not takers:
        raise ValueError(f"{scheduled[0][0]} given; none of {', '.join(grid.methods)} has events")
    words = _words((*_flags(grid, grid.envs[0], grid.seeds[0]), *scheduled, ("--reinit", (takers[0],))))
    return read_command_line(words, presets, f"train_{grid.agent}.py", "").config.run.reinit_at


def _from_the_start(grid: Grid, whole: Config, flags: Flags, method: Method) -> Job:
    config = _with_method(whole, method)
    words = [*_words(_without(flags, "--regularize")), *_method_words(grid, config, method)]
    return _job(grid, config, method.spelled, words, 0, whole.run.steps)


def _trunk_flags(grid: Grid, config: Config, events: Sequence[int]) -> Flags:
    """What makes a trunk shorter than a whole run, and otherwise equal to its beginning."""
    settings, share = config.run, grid.branch_at
    if share is None or not 0 < share < 1:
        raise ValueError(f"--branch-at {share} given; allowed is a share between 0 and 1, such as 0.5")
    stop = settings.reached(round(share * settings.steps))
    if not 0 < stop < settings.steps:
        raise ValueError(f"--branch-at {share} given, step {stop:,} of {settings.steps:,}: too close to an end")
    if any(step <= stop for step in events):
        raise ValueError(f"--reinit-at {min(events)} given; methods begin at the branch, step {stop}: give later steps")
    kept = ("--checkpoint-at", tuple(map(str, sorted({*settings.checkpoint_at, stop}))))
    lengths = _differing(config.resolved(), _altered(config, steps=stop).resolved())
    return (("--steps", (str(stop),)), kept, *lengths)


def _trunk(grid: Grid, whole: Config, flags: Flags, lengths: Flags) -> Job:
    """What the methods have in common. Its replay is kept, as branches begin with it."""
    words = _words((*_without(flags, "--steps", "--checkpoint-at", KEEP_REPLAY), *lengths))
    return _job(grid, whole, TRUNK, words, 0, int(lengths[0][1][0]))


def _branch(grid: Grid, whole: Config, trunk: Job, method: Method) -> Job:
    config = _with_method(whole, method)
    words = ["--branch-from", f"{trunk.folder}@{trunk.stop}", "--steps", str(whole.run.steps)]
    words += ["--env", config.run.env] if "env" in code_named(config) else []
    words += [*_method_words(grid, config, method), *_words(_only(grid.flags, KEEP_REPLAY))]
    return _job(grid, config, method.spelled, words, trunk.stop, whole.run.steps, trunk.folder)


def _with_method(whole: Config, method: Method) -> Config:
    return _altered(whole, reinit=method.reinit, regularize=(*whole.run.regularize, *method.regularizers))


def _method_words(grid: Grid, config: Config, method: Method) -> list[str]:
    """What makes a run one of its method; a schedule goes to methods that have events."""
    words = ["--reinit", method.reinit]
    words += ["--regularize", *config.run.regularize] if config.run.regularize else []
    return words + (_words(_only(grid.flags, *SCHEDULED)) if method.has_events else [])


def _job(
    grid: Grid, config: Config, method: str, words: Sequence[str], start: int, stop: int, trunk: Path | None = None
) -> Job:
    settings = config.run
    folder = grid.folder / folder_name(f"{settings.env}-{method}-seed{settings.seed}")
    arguments = (*words, "--run-dir", str(folder))
    script = ROOT / algorithm_of(config).script
    learning = [max(0, step // settings.action_repeat - settings.learning_starts) for step in (start, stop)]
    updates = round(settings.ratios[1] * (learning[1] - learning[0]))
    resumed = [word for name in code_named(config) for word in _named(name, getattr(settings, name))]
    resumed += _words(_only(grid.flags, KEEP_REPLAY)) if method != TRUNK else []
    return Job(
        settings.env, method, settings.seed, folder, script, arguments, start, stop, updates, trunk, tuple(resumed)
    )


def _named(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    return flag(name), *((value,) if isinstance(value, str) else value)


def _flags(grid: Grid, env: str, seed: int) -> Flags:
    """What runs of one environment and seed have in common; a schedule is the methods' own."""
    alike = (("--env", (env,)), ("--seed", (str(seed),)), ("--threads", (str(grid.threads),)))
    return (*_without(grid.flags, *SCHEDULED), *alike)


def _altered(config: Config, **values: Any) -> Config:
    return replace(config, run=replace(config.run, **values))


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
