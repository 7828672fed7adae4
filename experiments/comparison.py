"""A comparison from its first look at the folder to its report."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from fire_rl.training.sources import changed_sources
from fire_rl.training.stopping import STOPPED, stop_signals

from .analysis.axis import analyse_all
from .analysis.found import find_runs
from .analysis.results import Across, Comparison, Options
from .published.files import Published
from .published.joined import join
from .report.findings import findings
from .report.page import AXIS, FILES, PHASES, write_report
from .report.phase_figures import panels_of
from .sweep.as_script import Format, script_of
from .sweep.conduct import Pool, conduct, look
from .sweep.endings import say_endings
from .sweep.estimate import say_plan, weigh_and_time
from .sweep.grid import Grid, Job
from .sweep.kept_settings import check_kept, keep
from .sweep.local import default_slots, usable_gpus
from .sweep.states import states_of
from .sweep.table import LiveTable
from .sweep.weights import memory_of_a_run


class Machines(Pool, Protocol):
    """A pool that can be shown, and left."""

    def describe(self) -> str:
        """What it is and how many runs it has at once, in one line."""

    def where(self, job: Job) -> str | None:
        """The machine a run is on; None while it waits for one."""

    def close(self) -> None: ...


def show_plan(
    grid: Grid, jobs: Sequence[Job], slots: int | None, on_cluster: bool, runs_per_gpu: int | None = None
) -> None:
    """What would be run, and its cost; nothing is written."""
    check_kept(grid)
    gpus = usable_gpus(grid.flags)
    weights, rates = weigh_and_time(grid, timed=not (gpus or on_cluster))
    check_sources(jobs)
    if not on_cluster:
        slots = slots or default_slots(grid.threads, len(gpus), memory_of_a_run(weights), runs_per_gpu)
    say_plan(jobs, states_of(jobs), weights, rates, None if on_cluster else slots)


def plan_as_script(
    grid: Grid, jobs: Sequence[Job], style: Format, arguments: Sequence[str], reporting: Sequence[str]
) -> str:
    """The plan as a script of this style; nothing is written."""
    check_kept(grid)
    weights, _ = weigh_and_time(grid, timed=False)
    check_sources(jobs)
    return script_of(jobs, style, grid.folder, grid.threads, memory_of_a_run(weights), arguments, reporting)


def run_comparison(
    grid: Grid,
    jobs: Sequence[Job],
    make_pool: Callable[[float], Machines],  # from the bytes of memory that a run takes
    retry: bool = False,
    finished: Callable[[Job], None] = lambda job: None,
) -> int:
    """Bring all runs of a grid to their ends; the exit code says whether they are there.

    A run that diverged is at its end: that it did is its result.
    """
    check_kept(grid)
    sweep = look(jobs, retry)
    # Nothing begins before the parts of a run could be built, which imports what they are made of.
    weights = weigh_and_time(grid, timed=False)[0] if sweep.ready() else None
    check_sources(jobs)
    pool = make_pool(memory_of_a_run(weights)) if weights else None
    keep(grid)
    for job in jobs:
        if sweep.state(job) in ("finished", "diverged"):
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
    say_endings(sweep)
    if (sweep.stopping or lost) and not sweep.complete:
        print(f"stopped: {len(sweep.finished)} of {len(jobs)} runs are finished; the same command continues")
        return STOPPED
    return 0 if sweep.complete else 1


def report(
    paths: Sequence[Path], folder: Path, options: Options, command: str, *, labels: Sequence[str] = (),
    width: str = "double", published: Sequence[Published] = (),
) -> None:  # fmt: skip
    """Compare the runs at or below the paths, and say what was found and where it is.

    `labels` are METHOD=NAME, `width` is that of the figures for papers, and `published` what others found.
    """
    found = find_runs(paths)
    if not found.runs and found.trunks:
        print("nothing to report yet: there are only trunks, which methods will branch from")
        return
    results, warnings = join(analyse_all(found.runs, options, found.trunks, labels), published)
    page = write_report(results, folder, command, width)
    parts: list[Comparison | Across] = [*results.comparisons, *results.across]
    for result in parts:
        print(f"\n{result.agent}, {result.where}")
        for sentence in findings(result):
            print(f"  {sentence}")
    for warning in warnings:
        print(f"  warning: {warning}")
    print(f"\n  report    {page}\n  beside it")
    besides = ({"axis": AXIS} if results.axes else {}) | (
        {"phases": PHASES} if any(map(panels_of, results.comparisons)) else {}
    )
    for name, files in (FILES | besides).items():
        print(f"    {name:9} {files}")


def check_sources(jobs: Sequence[Job]) -> None:
    """Refuse to go on beside runs of a method or environment that is another one by now."""
    for job in jobs:
        if (job.folder / "config.json").exists() and (changed := changed_sources(job.folder)):
            raise ValueError(f"{job.name}: {changed}; give another --dir, or put the source back")
