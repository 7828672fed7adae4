"""Brings every run of a comparison to its end, on whatever pool of machines: the one loop over runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .child import STOPPED
from .grid import Job
from .states import Failure, forget_failure, note_failure, read_failure, state_of

REFRESH = 1.0  # seconds


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
    stopping: bool = False

    def state(self, job: Job) -> str:
        if job.folder in self.failed:
            return "failed"
        if job.folder in self.finished:
            return "finished"
        if job.folder in self.running:
            return "stopping" if self.stopping else "running"
        if job.trunk in self.failed:
            return "no trunk"
        return "waiting"

    def ready(self) -> list[Job]:
        """Runs that can begin now."""
        return [
            job
            for job in self.jobs
            if self.state(job) == "waiting" and (job.trunk is None or job.trunk in self.finished)
        ]

    @property
    def complete(self) -> bool:
        return len(self.finished) == len(self.jobs)


def look(jobs: Sequence[Job], retry: bool) -> Sweep:
    """What is there already: finished runs stay, failed ones too unless they are to be retried."""
    sweep = Sweep(tuple(jobs))
    for job in jobs:
        state = state_of(job)
        if state == "failed" and retry:
            forget_failure(job)
            state = state_of(job)
        if state == "finished":
            sweep.finished.add(job.folder)
        elif state == "failed":
            sweep.failed[job.folder] = read_failure(job)
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
            for job in sweep.ready():
                if not pool.room():
                    break
                pool.start(job)
                sweep.running.add(job.folder)
        show(sweep)
        if not sweep.running:
            return
        for ending in pool.wait(REFRESH):
            sweep.running.discard(ending.job.folder)
            if ending.code == 0 and state_of(ending.job) == "finished":
                sweep.finished.add(ending.job.folder)
                finished(ending.job)
            elif ending.code != STOPPED:
                sweep.failed[ending.job.folder] = note_failure(ending.job, ending.code)
