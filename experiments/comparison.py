"""A comparison from its first look at the folder to its report."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from training.command_line import Preset
from training.files import FolderLock, read_json, write_json
from training.session import stop_signals
from training.settings import flag

from .analysis.analyse import analyse
from .analysis.found import find_runs
from .analysis.results import Across, Comparison, Options
from .report.page import write_report
from .report.wording import findings
from .sweep.child import STOPPED
from .sweep.conduct import Pool, Sweep, conduct, look
from .sweep.estimate import memory_of_a_run, say_plan, weigh_and_time
from .sweep.grid import Grid, Job, plan, settled
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


def show_plan(grid: Grid, presets: Mapping[str, Preset], slots: int | None, on_cluster: bool) -> None:
    """What would be run, and its cost; nothing is written."""
    jobs = plan(grid, presets)
    check_kept(grid, presets)
    gpus = usable_gpus(grid.flags)
    replays, rates = weigh_and_time(grid, presets, timed=not (gpus or on_cluster))
    slots = slots or default_slots(grid.threads, gpus, memory_of_a_run(replays))
    say_plan(jobs, {job.folder: state_of(job) for job in jobs}, replays, rates, None if on_cluster else slots)


@contextmanager
def taken(grid: Grid) -> Iterator[None]:
    """The folder, in which no other comparison may work meanwhile; gone again where nothing came of it."""
    try:
        grid.folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(grid.folder)
    except OSError as error:
        raise ValueError(f"{grid.folder} cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        if [path.name for path in grid.folder.iterdir()] == ["lock"]:
            (grid.folder / "lock").unlink()
            grid.folder.rmdir()
        lock.release()


def run_comparison(
    grid: Grid,
    jobs: Sequence[Job],
    presets: Mapping[str, Preset],
    make_pool: Callable[[float], Machines],  # from the bytes of memory that a run takes
    retry: bool = False,
    finished: Callable[[Job], None] = lambda job: None,
) -> int:
    """Bring all runs of a grid to their ends; the exit code says whether they are there."""
    check_kept(grid, presets)
    sweep = look(jobs, retry)
    # Nothing begins before the parts of a run could be built.
    pool = make_pool(memory_of_a_run(weigh_and_time(grid, presets, timed=False)[0])) if sweep.ready() else None
    keep(grid, presets)
    for job in jobs:
        if job.folder in sweep.finished:
            finished(job)
    lost = False
    if pool:
        print(f"{grid.folder}: {len(jobs)} runs, {len(sweep.finished)} of them finished; {pool.describe()}")
        print("Ctrl-C stops all of them, each with a checkpoint; the same command continues")
        try:
            with closing(pool), stop_signals() as stop_requested, LiveTable(where=pool.where) as table:
                conduct(sweep, pool, table, stop_requested, finished)
        except ConnectionError as error:  # runs stop by themselves, with a checkpoint
            print(f"{error}", file=sys.stderr)
            lost = True
    say_failures(sweep)
    if (sweep.stopping or lost) and not sweep.complete:
        print(f"stopped: {len(sweep.finished)} of {len(jobs)} runs are finished; the same command continues")
        return STOPPED
    return 0 if sweep.complete else 1


def report(paths: Sequence[Path], folder: Path, options: Options, command: str) -> None:
    """Compare the runs at or below the paths, and say what was found and where it is."""
    found = find_runs(paths)
    if not found.runs and found.trunks:
        print("nothing to report yet: there are only trunks, which methods will branch from")
        return
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


def heading(found: Comparison | Across) -> str:
    return (
        f"{found.agent}, {found.env if isinstance(found, Comparison) else f'{len(found.envs)} environments together'}"
    )


def check_kept(grid: Grid, presets: Mapping[str, Preset]) -> None:
    """Refuse other settings in a folder that has runs: they could not be compared."""
    path = grid.folder / KEPT
    if not path.exists():
        return
    kept, ours = read_json(path)["fixed"], settled(grid, presets)
    for name in [*ours, *kept]:
        if kept.get(name) != ours.get(name):
            raise ValueError(
                f"{grid.folder} holds runs with {flag(name)} {kept.get(name)}, {ours.get(name)} given; "
                "give the same, or another --dir"
            )


def keep(grid: Grid, presets: Mapping[str, Preset]) -> None:
    """Note what the folder's runs have in common, and everything that was asked for so far."""
    before = kept_of(grid.folder)
    asked = {name: list(getattr(grid, name)) for name in ("envs", "methods", "seeds")}
    all_asked = {name: list(dict.fromkeys([*before.get(name, []), *values])) for name, values in asked.items()}
    write_json(grid.folder / KEPT, {"fixed": settled(grid, presets), **all_asked, "command": sys.argv})


def kept_of(folder: Path) -> dict[str, Any]:
    """What was asked for in a folder before."""
    path = folder / KEPT
    return read_json(path) if path.exists() else {}


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
