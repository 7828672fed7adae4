"""Plans the runs of a comparison: methods x seeds x environments, each an ordinary command line and run folder.

With axes (see `axes`), every combination of their values is such a comparison, with trunks of its own.

With a branch point, one trunk per environment and seed is trained up to it, and every method continues from the trunk's
checkpoint there. This is the midpoint protocol of FIRE's experiments; if the branch point is at half of the steps, it
takes (1 + M) / 2 of the work of M whole runs, for M methods.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fire_rl.training.asked import words_of
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS
from fire_rl.training.settings import flag, names_with
from fire_rl.training.trust import code_named

from ..kept import MOST_RUNS, TRUNK, place_text, run_name
from .axes import SCHEDULES, Flags, schedule_of
from .grid import (
    BRANCH,
    GIVEN_BY_THE_GRID,
    KEEP_REPLAY,
    TIMING,
    Grid,
    Job,
    asked_for,
    flags_of_runs,
    only,
    with_method,
    without,
)
from .tracked import TAGS, TRACKING, tracking_words

LONGEST_NAME = 220  # bytes of a folder's name; the names of its log and its temporary files are somewhat longer
LONGEST_PATH = 3_900  # bytes of a folder's path; Linux allows 4,096 for the files in it


def plan(grid: Grid) -> tuple[Job, ...]:
    """Return every run, in the order in which to begin them. Raise ValueError if a run is not possible."""
    for name, _ in grid.flags:
        if name in map(flag, GIVEN_BY_THE_GRID):
            raise ValueError(f"{name} given; compare.py sets it for each run of a comparison")
    count = len(grid.envs) * len(grid.seeds) * (len(grid.methods) + (grid.branch_at is not None))
    count *= math.prod(len(axis.values) for axis in grid.axes)
    if count > MOST_RUNS:
        raise ValueError(
            f"{count:,} runs would be made; allowed are {MOST_RUNS:,}: give fewer --seeds, --env or --reinit"
        )
    order = {seed: index for index, seed in enumerate(grid.seeds)}
    jobs = sorted(
        (job for point in grid.points for job in _plan_at(point)),
        key=lambda job: (job.method != TRUNK, order[job.seed]),
    )
    by_folder: dict[Path, Job] = {}
    for job in jobs:
        shared = job.method == TRUNK and by_folder.get(job.folder) == job  # by several values of an axis
        if job.folder in by_folder and not shared:
            raise ValueError(f"{job.folder} would be the folder of two runs: {_two(by_folder[job.folder], job)}")
        by_folder[job.folder] = job
        check_length(job.folder)
    return tuple(by_folder.values())


def _two(one: Job, other: Job) -> str:
    """Return what tells two runs of one folder apart, and what to do about it."""
    for first, second in (
        (one.env, other.env),
        (one.method, other.method),
        (place_text(one.place, {}), place_text(other.place, {})),
    ):
        if first != second:
            return f"the names of {first} and {second} are alike in a folder: compare them with two --dir"
    return f"{one.method} on {one.env} with the seed {one.seed} is given twice"


def _plan_at(grid: Grid) -> tuple[Job, ...]:
    """Return the runs of one combination of the axes' values."""
    asked = {env: asked_for(grid, env) for env in grid.envs}
    methods = [(text, with_method(asked[grid.envs[0]], text)) for text in grid.methods]  # parsed only here
    events = _check_schedule(grid, methods)
    lengths = {env: _trunk_flags(grid, config, events) for env, config in asked.items() if grid.branch_at is not None}
    trunks, others = [], []
    for seed in grid.seeds:
        for env in grid.envs:
            whole = asked[env].resolved().altered(seed=seed)
            trunk = None if grid.branch_at is None else _trunk(grid, whole, env, lengths[env])
            trunks += [trunk] if trunk else []
            for text, method in methods:
                run = whole.altered(reinit=method.run.reinit, regularize=method.run.regularize)
                words = _method_words(grid, method, text)
                if trunk:
                    others.append(_branch(grid, run, trunk, text, words))
                else:
                    words = [
                        *words_of(without(flags_of_runs(grid, env, seed), "--regularize", *TRACKING)),
                        *words,
                        *tracking_words(grid.flags, grid.folder),
                    ]
                    others.append(_job(grid, run, text, words, 0, run.run.steps))
    return (*trunks, *others)


def check_length(folder: Path) -> None:
    """Raise ValueError if a folder's name or path is too long for the file system; nothing is made before."""
    longest = max(folder.absolute().parts, key=lambda part: len(os.fsencode(part)))
    if (letters := len(os.fsencode(longest))) > LONGEST_NAME:
        raise ValueError(
            f"a folder would have a name of {letters} bytes, {longest[:40]}...; allowed are {LONGEST_NAME}"
        )
    if (letters := len(os.fsencode(folder.absolute()))) > LONGEST_PATH:
        raise ValueError(
            f"a folder would have a path of {letters} bytes; allowed are {LONGEST_PATH}: give another --dir"
        )


def _check_schedule(grid: Grid, methods: Sequence[tuple[str, Config]]) -> tuple[int, ...]:
    """Return the steps of --reinit-at and of the methods' own schedules, after checking all schedules as a run does."""
    steps: list[int] = []
    scheduled = only(grid.flags, *TIMING)
    takers = [text for text, config in methods if config.methods.method.acts_at_events]
    if scheduled and not takers:
        raise ValueError(f"{scheduled[0][0]} given, but none of the methods has events: {', '.join(grid.methods)}")
    plain = next((text for text in takers if not schedule_of(text)), None)  # the comparison's schedule is for those
    known, common = list[tuple[str, object]](), dict[str, Any]()
    for text, config in methods:
        if (own := schedule_of(text)) and not config.methods.method.acts_at_events:
            raise ValueError(f"--reinit {text!r} given; {config.run.reinit} has no events, so it takes no schedule")
        if text not in takers:
            schedule = {}
        elif own or (scheduled and text == plain):
            flags = (*flags_of_runs(grid, grid.envs[0], grid.seeds[0]), *(own or scheduled))
            try:
                read = grid.read(*words_of((*flags, ("--reinit", (config.run.reinit,)))))
            except ValueError as error:
                raise ValueError(_as_typed(text, f"{error}")) from error
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


def _as_typed(text: str, error: str) -> str:
    """Return an error of a method's own schedule as it concerns METHOD@every=..., without flags that nobody typed."""
    if not schedule_of(text):
        return error
    for word, name in SCHEDULES.items():
        error = error.replace(f"{name} ", f"{word}=")
    return f"--reinit {text[:80]!r} given: {error}"


def _acts(grid: Grid, config: Config) -> object:
    """Return what a method does and when, equal for two spellings of the same; without a schedule it has the usual."""
    methods = config.methods
    if not methods.method.acts_at_events:
        return methods
    run = config.run if grid.branch_at is not None else config.resolved().run
    usual = config.usual_period if grid.branch_at is not None else None
    return methods, run.reinit_every or usual, {run.reached(step) for step in run.reinit_at}, set(run.triggers())


def _trunk_flags(grid: Grid, config: Config, events: Sequence[int]) -> Flags:
    """Return the flags that make a trunk end at the branch point, and otherwise equal to the beginning of a run."""
    settings, share = config.resolved().run, grid.branch_at
    if share == "phase":
        if not settings.phase_starts:
            raise ValueError(
                f"--branch-at phase given; the data of {grid.agent} has no phases: give a share, such as 0.5"
            )
        stop = settings.phase_starts[0]
    elif share is not None and 0 < share < 1:
        stop = settings.reached(round(share * settings.steps))
    else:
        raise ValueError(f"--branch-at {share} given; allowed is a share between 0 and 1, such as 0.5")
    if not 0 < stop < settings.steps:
        raise ValueError(
            f"--branch-at {share} given, which is step {stop:,} of {settings.steps:,}: too close to the beginning or "
            "the end of the run"
        )
    if any(step <= stop for step in events):
        raise ValueError(
            f"--reinit-at {min(events)} given; the methods' branches begin at step {stop}: give later steps"
        )
    kept = ("--checkpoint-at", tuple(map(str, sorted({*settings.checkpoint_at, stop}))))
    lengths = _differing(config.resolved(), config.altered(steps=stop).resolved())
    return (("--steps", (str(stop),)), kept, *lengths)


def _trunk(grid: Grid, whole: Config, env: str, lengths: Flags) -> Job:
    """Return the run from which all methods branch. Its replay is kept, because branches begin with it.

    Values of an axis that takes effect only after the branch point share the trunk of the axis' first value.
    """
    stop = int(lengths[0][1][0])
    if grid.same_until_later is not None and stop <= whole.run.phase_starts[0]:
        grid = grid.same_until_later
    flags = flags_of_runs(grid, env, whole.run.seed)
    words = words_of((*without(flags, "--steps", "--checkpoint-at", KEEP_REPLAY, *TRACKING), *lengths))
    # Without a tracker, too, it has the tag "trunk", because TensorBoard's page HPARAMS shows tags.
    words += tracking_words(grid.flags, grid.folder, TRUNK) or [TAGS, TRUNK]
    return _job(grid, whole, TRUNK, words, 0, stop)


def _branch(grid: Grid, config: Config, trunk: Job, method: str, method_words: Sequence[str]) -> Job:
    words = ["--branch-from", f"{trunk.folder}@{trunk.stop}", "--steps", str(config.run.steps)]
    words += ["--env", config.run.env] if "env" in code_named(config) else []
    words += words_of(only(grid.flags, *map(flag, config.names_with("later"))))
    words += [*method_words, *words_of(only(grid.flags, KEEP_REPLAY)), *tracking_words(grid.flags, grid.folder, BRANCH)]
    return _job(grid, config, method, words, trunk.stop, config.run.steps, trunk.folder)


def _method_words(grid: Grid, config: Config, text: str) -> list[str]:
    """Return the flags of a method; the comparison's schedule is for methods that have events but no own schedule."""
    words = ["--reinit", config.run.reinit]
    words += ["--regularize", *config.run.regularize] if config.run.regularize else []
    schedule = schedule_of(text) or only(grid.flags, *TIMING)
    return words + (words_of(schedule) if config.methods.method.acts_at_events else [])


def _job(
    grid: Grid, config: Config, method: str, words: Sequence[str], start: int, stop: int, trunk: Path | None = None
) -> Job:
    settings = config.run
    folder = grid.folder / run_name(settings.env, method, settings.seed, place_text(grid.place, grid.home))
    resumed = [word for name in code_named(config) if name != "track" for word in _named(name, getattr(settings, name))]
    resumed += words_of(only(grid.flags, KEEP_REPLAY)) if method != TRUNK else []
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


def _differing(whole: Config, part: Config) -> Flags:
    """Return flags for settings that depend on a run's length, such as how long it explores, with `whole`'s values."""
    found = []
    for group in fields(whole):
        ours, theirs = vars(getattr(whole, group.name)), vars(getattr(part, group.name))
        found += [
            (flag(name), (str(value),)) for name, value in ours.items() if value != theirs[name] and name != "steps"
        ]
    return tuple(found)
