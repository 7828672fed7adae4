"""Brings every run of a comparison to its end, on whatever pool of machines: the one loop over runs."""

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
from .states import divergence_of, in_use, keeps_checkpoint, state_of

REFRESH = 1.0  # seconds
MISTAKE = 2  # a run's exit code where it could not be begun
PATIENCE = 3  # times that a run may be stopped from outside without having got further


@dataclass(frozen=True)
class Ending:
    """A run's process is over."""

    job: Job
    code: int


class Pool(Protocol):
    """Where runs take place."""

    def room(self) -> bool:
        """Whether another run may be given to it now."""

    def start(self, job: Job) -> None: ...

    def wait(self, seconds: float) -> Sequence[Ending]:
        """Runs whose processes are over, as soon as there is one, or none after so many seconds."""

    def stop(self) -> None:
        """Ask all runs to stop with a checkpoint; `wait` goes on telling which have."""


@dataclass
class Sweep:
    """Where every run of a comparison stands."""

    jobs: tuple[Job, ...]
    finished: set[Path] = field(default_factory=set)
    running: set[Path] = field(default_factory=set)
    failed: dict[Path, Failure] = field(default_factory=dict)
    diverged: dict[Path, Divergence] = field(default_factory=dict)
    emptied: set[Path] = field(default_factory=set)  # trunks that have lost the checkpoint to branch from
    stopping: bool = False
    stops: dict[Path, list[int]] = field(default_factory=dict)  # checkpoints at which somebody else stopped a run

    def state(self, job: Job) -> str:
        if job.folder in self.failed:
            return "failed"
        if job.folder in self.finished:
            return "finished"
        if job.folder in self.diverged:
            return "diverged"
        if job.folder in self.running:
            return "stopping" if self.stopping else "running"
        return "no trunk" if self.without_trunk(job) else "waiting"

    def without_trunk(self, job: Job) -> str | None:
        """Why a branch cannot begin, ever; None where it can, or is none."""
        if job.trunk is None:
            return None
        if job.trunk in self.failed:
            return f"{job.trunk.name} failed"
        if found := self.diverged.get(job.trunk):
            return f"{job.trunk.name} diverged at step {found.steps:,}"
        if job.trunk in self.emptied:
            return f"{job.trunk.name} has no checkpoint at step {job.start:,} any more"
        return None

    def ready(self) -> list[Job]:
        """Runs that can begin now."""
        return [
            job
            for job in self.jobs
            if self.state(job) == "waiting" and (job.trunk is None or job.trunk in self.finished)
        ]

    @property
    def complete(self) -> bool:
        """Whether all has come to its end: runs that diverged have, and what would have branched from them."""
        return all(self.state(job) in ("finished", "diverged") or job.trunk in self.diverged for job in self.jobs)


def look(jobs: Sequence[Job], retry: bool) -> Sweep:
    """What is there already: finished and diverged runs stay, failed ones too unless they are to be retried."""
    sweep = Sweep(tuple(jobs))
    for job in jobs:
        state = state_of(job)
        if state != "failed" or retry:
            forget_failure(job.folder)
            state = state_of(job)
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
    sweep: Sweep,
    pool: Pool,
    show: Callable[[Sweep], None] = lambda sweep: None,
    stop_requested: Callable[[], bool] = lambda: False,
    finished: Callable[[Job], None] = lambda job: None,
) -> None:
    """Run what is not finished, until everything is, has failed, or a stop is asked for."""
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
            time.sleep(REFRESH)  # somebody still has open what is left
        for ending in pool.wait(REFRESH):
            _settle(sweep, ending, finished)


def _start(sweep: Sweep, pool: Pool) -> None:
    for job in sweep.ready():
        if not pool.room():
            return
        if in_use(job):  # by a process that was told to stop and has not yet, most likely
            continue
        try:
            pool.start(job)
            sweep.running.add(job.folder)
        except OSError as error:
            sweep.failed[job.folder] = Failure(1, (f"{job.name} cannot be begun: {error}",))


def _settle(sweep: Sweep, ending: Ending, finished: Callable[[Job], None]) -> None:
    """What the end of a process means for its run."""
    job = ending.job
    sweep.running.discard(job.folder)
    if ending.code == 0 and state_of(job) == "finished":
        sweep.finished.add(job.folder)
        finished(job)
    elif ending.code == DIVERGED and (divergence := divergence_of(job)):
        sweep.diverged[job.folder] = divergence
        finished(job)
    elif ending.code == MISTAKE and in_use(job):
        return  # somebody was faster; it waits
    elif ending.code != STOPPED or _gets_nowhere(sweep, job):
        sweep.failed[job.folder] = note_failure(job.folder, ending.code)


def _gets_nowhere(sweep: Sweep, job: Job) -> bool:
    """Whether a run that we did not stop has stopped several times at the same checkpoint."""
    if sweep.stopping:
        return False
    stops = sweep.stops.setdefault(job.folder, [])
    stops.append(max(steps_of(job.folder), default=-1) if job.folder.exists() else -1)
    return stops[-PATIENCE:] == [stops[-1]] * PATIENCE
