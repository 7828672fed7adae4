"""Runs a whole comparison: checks its folder, shows the plan or runs everything, and writes the report."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from fire_rl.training.folder import is_run
from fire_rl.training.sources import changed_sources
from fire_rl.training.stopping import STOPPED, stop_signals
from fire_rl.training.work import Weight

from .analysis.axis import analyse_all
from .analysis.found import find_runs
from .analysis.results import Across, Comparison, Options
from .published.files import Published
from .published.joined import join
from .report.findings import findings
from .report.page import AXIS, FILES, PHASES, write_report
from .report.phase_sections import panels_of
from .sweep.as_script import Format, script_of
from .sweep.conduct import Pool, conduct, look
from .sweep.endings import say_endings
from .sweep.estimate import gpu_memory_of_a_run, memory_of_a_run, say_plan, weigh_and_time
from .sweep.grid import Grid, Job
from .sweep.kept_settings import check_kept, keep
from .sweep.local import LocalPool, default_slots, usable_gpus, warning_of_shared_gpus
from .sweep.states import states_of
from .sweep.table import LiveTable


class Machines(Pool, Protocol):
    """A pool of machines that can also describe itself, tell where a run is, and be closed."""

    def describe(self) -> str:
        """Return one line that names the pool and the number of runs it takes at once."""

    def where(self, job: Job) -> str | None:
        """Return the machine that a run is on; None while the run waits for one."""

    def close(self) -> None:
        """End the runs that are still running here, and release the machines."""


def show_plan(
    grid: Grid, jobs: Sequence[Job], slots: int | None, on_cluster: bool, runs_per_gpu: int | None = None,
    retry: bool = False,
) -> None:  # fmt: skip
    """Print the runs of a comparison and what they will cost; nothing is written."""
    check_kept(grid)
    gpus = usable_gpus(grid.flags)
    weights, rates = weigh_and_time(grid, timed=not (gpus or on_cluster), here=not on_cluster)
    check_sources(jobs)
    if not on_cluster:
        slots = slots or default_slots(grid.threads, len(gpus), memory_of_a_run(weights), runs_per_gpu)
        warn_of_shared_gpus(grid, states_of(jobs, retry), slots, weights)
    say_plan(jobs, states_of(jobs, retry), weights, rates, None if on_cluster else slots)


def warn_of_shared_gpus(grid: Grid, states: Mapping[Path, str], slots: int, weights: Mapping[str, Weight]) -> None:
    """Print a warning if the runs still to do that share a GPU of this machine do not fit on it."""
    left = sum(state in ("new", "interrupted") for state in states.values())
    if warning := warning_of_shared_gpus(grid.flags, min(slots, left), partial(gpu_memory_of_a_run, weights)):
        print(warning, file=sys.stderr)


def plan_as_script(
    grid: Grid, jobs: Sequence[Job], style: Format, arguments: Sequence[str], reporting: Sequence[str]
) -> str:
    """Return the plan as a script in the given format; nothing is written before the script runs."""
    check_kept(grid)
    weights, _ = weigh_and_time(grid, timed=False, here=False)
    check_sources(jobs)
    return script_of(jobs, style, grid.folder, grid.threads, memory_of_a_run(weights), arguments, reporting)


def write_plan(grid: Grid, jobs: Sequence[Job]) -> None:
    """Add the planned runs to the folder's comparison.json; raise ValueError if it holds runs with other settings."""
    check_kept(grid)
    check_sources(jobs)
    keep(grid)


def run_comparison(
    grid: Grid, jobs: Sequence[Job], make_pool: Callable[[float], Machines], retry: bool,
    finished: Callable[[Job], None], here: bool = True,
) -> int:  # fmt: skip
    """Run everything in a grid that is not finished. The exit code is 0 if afterwards every run has a result.

    A run that diverged has a result, too: its divergence. `make_pool` gets the bytes of memory that a run takes.
    The machines are this one alone if `here`.
    """
    check_kept(grid)
    sweep = look(jobs, retry)
    # Build the parts of a run of each kind before any run begins, so that settings that cannot work are found now.
    weights = weigh_and_time(grid, timed=False, here=here)[0] if sweep.ready() else None
    check_sources(jobs)
    pool = make_pool(memory_of_a_run(weights)) if weights else None
    if weights and isinstance(pool, LocalPool):
        warn_of_shared_gpus(grid, states_of(jobs, retry), pool.slots, weights)
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
        except ConnectionError as error:  # the runs stop by themselves, each with a checkpoint
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
    """Compare the runs at or below the paths, write the report, and print the findings and the names of the files.

    `labels` have the form METHOD=NAME; `width` is the width of the figures for papers; `published` are results of
    others.
    """
    found = find_runs(paths)
    if not found.runs and found.trunks:
        print("nothing to report yet: so far there are only trunks, from which the methods will branch")
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
    print(f"\n  report    {page}\n  in the same folder")
    besides = {"axis": AXIS} if results.axes else {}
    besides |= {"phases": PHASES} if any(map(panels_of, results.comparisons)) else {}
    for name, files in (FILES | besides).items():
        print(f"    {name:9} {files}")


def check_sources(jobs: Sequence[Job]) -> None:
    """Raise ValueError if the source of a method or an environment has changed since an existing run began."""
    for job in jobs:
        if is_run(job.folder) and (changed := changed_sources(job.folder)):
            raise ValueError(f"{job.name}: {changed}; give another --dir, or restore the source")
