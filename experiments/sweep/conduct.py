"""The loop that starts the runs of a comparison on a pool of machines and waits until all of them have ended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fire_rl.training.checkpoint import steps_of
from fire_rl.training.divergence import DIVERGED
from fire_rl.training.lines import Divergence
from fire_rl.training.stopping import STOPPED

from ..failure import Failure, forget_failure, note_failure, read_failure
from .grid import Job
from .states import divergence_of, in_use, keeps_checkpoint, state_of, unended_state

REFRESH = 1.0  # seconds
MISTAKE = 2  # exit code of a run that could not begin
PATIENCE = 3  # a run that is stopped from outside this often at the same checkpoint has failed


@dataclass(frozen=True)
class Ending:
    """The exit code of a run's process that has ended."""

    job: Job
    code: int


class Pool(Protocol):
    """The machine or machines that runs are started on."""

    def room(self) -> bool:
        """Return whether another run can be started now."""

    def start(self, job: Job) -> None:
        """Begin or resume a run."""

    def wait(self, seconds: float) -> Sequence[Ending]:
        """Return the runs that have ended as soon as there is one, or nothing after this many seconds."""

    def stop(self) -> None:
        """Ask all runs to stop with a checkpoint; `wait` returns those that have stopped."""


@dataclass
class Sweep:
    """The state of every run of a comparison."""

    jobs: tuple[Job, ...]
    finished: set[Path] = field(default_factory=set)
    running: set[Path] = field(default_factory=set)
    failed: dict[Path, Failure] = field(default_factory=dict)
    diverged: dict[Path, Divergence] = field(default_factory=dict)
    emptied: set[Path] = field(default_factory=set)  # trunks whose checkpoint to branch from is gone
    stopping: bool = False
    stops: dict[Path, list[int]] = field(default_factory=dict)  # a run's checkpoints when it was stopped from outside

    def state(self, job: Job) -> str:
        """Return the state of a run in one word or two, such as "running" or "no trunk"."""
        for state in ("failed", "finished", "diverged", "running"):
            if job.folder in getattr(self, state):
                return "stopping" if state == "running" and self.stopping else state
        return "no trunk" if self.without_trunk(job) else "waiting"

    def without_trunk(self, job: Job) -> str | None:
        """Return why a branch can never begin; None if it can, or if the run is not a branch."""
        if job.trunk is None:
            return None
        if job.trunk in self.failed:
            return f"{job.trunk.name} failed"
        if found := self.diverged.get(job.trunk):
            return f"{job.trunk.name} diverged at step {found.steps:,}"
        if job.trunk in self.emptied:
            return f"{job.trunk.name} no longer has a checkpoint at step {job.start:,}"
        return None

    def ready(self) -> list[Job]:
        """Return the runs that can begin now."""
        can_begin = {None, *self.finished}  # None is the trunk of runs that are no branches
        return [job for job in self.jobs if self.state(job) == "waiting" and job.trunk in can_begin]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run: every run has finished or diverged, or its trunk diverged."""
        return all(self.state(job) in ("finished", "diverged") or job.trunk in self.diverged for job in self.jobs)


def look(jobs: Sequence[Job], retry: bool) -> Sweep:
    """Return the state of all runs as their folders tell it; with `retry`, failed runs wait to be started again.

    The record of a failure is deleted when its run is started, because the comparison may still be refused.
    """
    sweep = Sweep(tuple(jobs))
    for job in jobs:
        state = state_of(job)
        if state == "failed" and retry:
            state = unended_state(job)
        elif state != "failed":
            forget_failure(job.folder)  # the run has gone on since
        if state == "finished":
            sweep.finished.add(job.folder)
        elif state == "failed" and (failure := read_failure(job.folder)):
            sweep.failed[job.folder] = failure
        elif state == "diverged" and (divergence := divergence_of(job)):
            sweep.diverged[job.folder] = divergence
        elif state == "new" and job.trunk in sweep.finished and not keeps_checkpoint(job.trunk, job.start):
            sweep.emptied.add(job.trunk)
    return sweep


def conduct(
    sweep: Sweep, pool: Pool, show: Callable[[Sweep], None] = lambda sweep: None,
    stop_requested: Callable[[], bool] = lambda: False, finished: Callable[[Job], None] = lambda job: None,
) -> None:  # fmt: skip
    """Run all runs that have no result yet, until each has one or has failed, or until a stop is requested."""
    while True:
        if stop_requested() and not sweep.stopping:
            sweep.stopping = True
            pool.stop()
        if not sweep.stopping:
            _start(sweep, pool)
        show(sweep)
        if not sweep.running:
            if sweep.stopping or not sweep.ready():
                return
            time.sleep(REFRESH)  # other processes still have the remaining runs open
        for ending in pool.wait(REFRESH):
            _settle(sweep, ending, finished)


def _start(sweep: Sweep, pool: Pool) -> None:
    for job in sweep.ready():
        if not pool.room():
            return
        if in_use(job):  # most likely by a process that was asked to stop and is still writing its checkpoint
            continue
        try:
            pool.start(job)
            forget_failure(job.folder)
            sweep.running.add(job.folder)
        except OSError as error:
            sweep.failed[job.folder] = Failure(1, (f"{job.name} could not begin: {error}",))


def _settle(sweep: Sweep, ending: Ending, finished: Callable[[Job], None]) -> None:
    job = ending.job
    sweep.running.discard(job.folder)
    if ending.code == 0 and state_of(job) == "finished":
        sweep.finished.add(job.folder)
        finished(job)
    elif ending.code == DIVERGED and (divergence := divergence_of(job)):
        sweep.diverged[job.folder] = divergence
        finished(job)
    elif ending.code == MISTAKE and in_use(job):
        return  # another process opened the run first: it stays waiting
    elif ending.code != STOPPED or _gets_nowhere(sweep, job):
        sweep.failed[job.folder] = note_failure(job.folder, ending.code)


def _gets_nowhere(sweep: Sweep, job: Job) -> bool:
    """Return whether a run has stopped PATIENCE times at the same checkpoint without being asked to by us."""
    if sweep.stopping:
        return False
    stops = sweep.stops.setdefault(job.folder, [])
    stops.append(max(steps_of(job.folder), default=-1) if job.folder.exists() else -1)
    return stops[-PATIENCE:] == [stops[-1]] * PATIENCE
