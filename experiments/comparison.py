"""A comparison from its first look at the folder to its report."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from training.command_line import Preset
from training.files import FolderLock, read_json, write_json
from training.session import stop_signals

from .analysis.analyse import analyse
from .analysis.found import find_runs
from .analysis.results import Across, Comparison, Options
from .report.page import write_report
from .report.wording import findings
from .sweep.conduct import Pool, Sweep, conduct, look
from .sweep.estimate import check_and_weigh, measure, say_plan, slots_in_memory
from .sweep.grid import Grid, Job, plan
from .sweep.local import default_slots, usable_gpus
from .sweep.states import log_path, state_of
from .sweep.table import LiveTable

KEPT = "comparison.json"


class Machines(Pool, Protocol):
    """A pool that can be shown, and left."""

    def describe(self) -> str:
        """What it is and how many runs it has at once, in one line."""

    def where(self, job: Job) -> str | None:
        """The machine a run is on; None while it waits for one."""

    def close(self) -> None: ...


def show_plan(grid: Grid, presets: Mapping[str, Preset], slots: int | None) -> int:
    """What would be run, and its cost; nothing is written."""
    jobs = plan(grid, presets)
    check_kept(grid)
    replays, gpus = check_and_weigh(grid, presets), usable_gpus(grid.flags)
    slots = slots or min(default_slots(grid.threads, gpus), slots_in_memory(replays))
    say_plan(jobs, {job.folder: state_of(job) for job in jobs}, replays, {} if gpus else measure(grid, presets), slots)
    return 0


def run_comparison(
    grid: Grid,
    presets: Mapping[str, Preset],
    make_pool: Callable[[int], Machines],  # from how many runs this machine's memory holds
    retry: bool = False,
    finished: Callable[[Job], None] = lambda job: None,
) -> int:
    """Bring all runs to their ends; the exit code says whether they are there."""
    jobs = plan(grid, presets)
    check_kept(grid)
    lock = take(grid.folder)
    try:
        sweep = look(jobs, retry)
        for job in jobs:
            if job.folder in sweep.finished:
                finished(job)
        if sweep.ready():
            pool = make_pool(
                slots_in_memory(check_and_weigh(grid, presets))
            )  # nothing is written before this has worked
            keep(grid)
            print(f"{grid.folder}: {len(jobs)} runs, {len(sweep.finished)} of them finished; {pool.describe()}")
            print("Ctrl-C stops all of them, each with a checkpoint; the same command continues")
            with closing(pool), stop_signals() as stop_requested, LiveTable(where=pool.where) as table:
                conduct(sweep, pool, table, stop_requested, finished)
    finally:
        lock.release()
    say_failures(sweep)
    if sweep.stopping and not sweep.complete:
        print(f"stopped: {len(sweep.finished)} of {len(jobs)} runs are finished; the same command continues")
        return 130
    return 0 if sweep.complete else 1


def heading(found: Comparison | Across) -> str:
    return (
        f"{found.agent}, {found.env if isinstance(found, Comparison) else f'{len(found.envs)} environments together'}"
    )


def take(folder: Path) -> FolderLock:
    """The folder, which no other comparison may work in now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FolderLock(folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror}") from error


def check_kept(grid: Grid) -> None:
    """Refuse other settings in a folder that has runs: they could not be compared."""
    path = grid.folder / KEPT
    if not path.exists():
        return
    kept, ours = read_json(path)["fixed"], grid.fixed()
    for name in ours:
        if kept.get(name) != ours[name]:
            raise ValueError(
                f"{grid.folder} holds runs with {name} {spell(kept.get(name))}, {spell(ours[name])} given; "
                "give the same, or another --dir"
            )


def keep(grid: Grid) -> None:
    """Note what the folder's runs are made with, and everything that was asked for so far."""
    path = grid.folder / KEPT
    before = read_json(path) if path.exists() else {}
    asked = {name: list(getattr(grid, name)) for name in ("envs", "methods", "seeds")}
    kept = {
        name: [*before.get(name, []), *(v for v in values if v not in before.get(name, []))]
        for name, values in asked.items()
    }
    write_json(path, {"fixed": grid.fixed(), **kept, "command": sys.argv})


def spell(value: object) -> str:
    """A setting as one would type it."""
    if isinstance(value, dict):
        return " ".join(" ".join((name, *values)) for name, values in value.items()) or "no flags"
    return str(value)


def say_failures(sweep: Sweep) -> None:
    """What failed, in its own last words, and what to do about it."""
    for job in sweep.jobs:
        failure = sweep.failed.get(job.folder)
        if failure is None:
            continue
        print(f"\n{job.name} failed: {failure.reason}; its last lines, of {log_path(job)}:", file=sys.stderr)
        for line in failure.lines:
            print(f"    {line}", file=sys.stderr)
    if sweep.failed:
        print("\nthe same command with --retry runs the failed ones again", file=sys.stderr)


def report(paths: Sequence[Path], folder: Path, options: Options, command: str) -> None:
    """Compare the runs at or below the paths, and say what was found and where it is."""
    found = find_runs(paths)
    results = analyse(found.runs, options, found.trunks)
    page = write_report(results, folder, command)
    parts: list[Comparison | Across] = [*results.comparisons, *results.across]
    for result in parts:
        print(f"\n{heading(result)}")
        for sentence in findings(result):
            print(f"  {sentence}")
    print(f"\n  report    {page}")
    for name in ("curves.png", "scores.csv", "summary.md"):
        print(f"  {name.partition('.')[0]:9} {folder / name}")
