"""The state of a run, read from its folder alone, whatever process and machine made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fire_rl.training.checkpoint import read_manifest
from fire_rl.training.files import METRICS, FolderLock, InUse
from fire_rl.training.folder import is_run
from fire_rl.training.lines import Divergence, EvaluationLine, TrainLine

from ..failure import failure_path
from .grid import Job

RunState = Literal["new", "interrupted", "finished", "failed", "diverged"]
TAIL = 200_000  # bytes at the end of the metrics that contain the newest lines of each kind


@dataclass(frozen=True)
class Standing:
    """The progress of a run, from the newest lines of its metrics."""

    step: int = 0
    updates_per_second: float | None = None
    evaluation: float | None = None


def state_of(job: Job) -> RunState:
    """Return the state of a run.

    A run has failed if a comparison recorded a failure and the run has written no metrics since. The other states are
    read from its metrics.
    """
    begun = is_run(job.folder)
    newest = job.reader.newest(job.folder, TAIL)[-1:] if begun else []
    if any(isinstance(line, Divergence) for line in newest):
        return "diverged"
    # A run ends with an evaluation. Its checkpoints may have been deleted since.
    if any(isinstance(line, EvaluationLine) and line.steps >= job.stop for line in newest):
        return "finished"
    note, metrics = failure_path(job.folder), job.folder / METRICS
    if note.exists() and not (metrics.exists() and metrics.stat().st_mtime > note.stat().st_mtime):
        return "failed"
    return unended_state(job)


def unended_state(job: Job) -> RunState:
    """Return the state of a run without a result, also of one that failed and is retried."""
    return "interrupted" if is_run(job.folder) else "new"


def states_of(jobs: Sequence[Job], retry: bool = False) -> dict[Path, str]:
    """Return the state of each run; a branch that can never begin has the state "no trunk".

    With `retry`, failed runs have the state that they have when they are retried.
    """
    states: dict[Path, str] = {job.folder: state_of(job) for job in jobs}
    if retry:
        states |= {job.folder: unended_state(job) for job in jobs if states[job.folder] == "failed"}
    for job in jobs:
        if job.trunk is None or states[job.folder] != "new":
            continue
        trunk = states[job.trunk]
        if trunk == "diverged" or (trunk == "finished" and not keeps_checkpoint(job.trunk, job.start)):
            states[job.folder] = "no trunk"
    return states


def divergence_of(job: Job) -> Divergence | None:
    """Return where and in which quantity a run diverged; None if it did not end so."""
    newest = job.reader.newest(job.folder, TAIL)
    return newest[-1] if newest and isinstance(newest[-1], Divergence) else None


def keeps_checkpoint(run: Path, step: int) -> bool:
    """Return whether a run still has the checkpoint of this step and the replay files that the checkpoint names."""
    try:
        segments = read_manifest(run, step).segments
    except ValueError:
        return False
    return all((run / "replay" / segment.file).is_file() for segment in segments)


def in_use(job: Job) -> bool:
    """Return whether any process has the run open, such as one that has not stopped yet."""
    if not (job.folder / "lock").exists():
        return False
    try:
        FolderLock(job.folder).release()
    except InUse:
        return True
    except ValueError:  # it cannot be locked at all, which the run itself says in one line when it is started
        return False
    return False


def standing_of(job: Job) -> Standing:
    """Return the progress of a run; a branch without metrics of its own is at the end of its trunk."""
    step, train, evaluation = job.start, TrainLine("train", 0), None
    for line in job.reader.newest(job.folder, TAIL):
        step = line.steps
        if isinstance(line, TrainLine):
            train = line
        elif isinstance(line, EvaluationLine):
            evaluation = line.value
    return Standing(step, train.updates_per_second, evaluation)
