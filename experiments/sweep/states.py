"""How far the run of a job is, told by its folder alone: whoever made it, and on whichever machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fire_rl.training.checkpoint import read_manifest
from fire_rl.training.files import METRICS, FolderLock
from fire_rl.training.lines import Divergence, EvaluationLine, TrainLine

from ..failure import failure_path
from .grid import Job

RunState = Literal["new", "interrupted", "finished", "failed", "diverged"]
TAIL = 200_000  # bytes that hold the newest lines of each kind


@dataclass(frozen=True)
class Standing:
    """What the newest lines of a run's metrics say."""

    step: int = 0
    updates_per_second: float | None = None
    steps_per_second: float | None = None
    evaluation: float | None = None


def state_of(job: Job) -> RunState:
    """Failed is what a comparison has noted, until the run went on; everything else the run's metrics tell."""
    begun = (job.folder / "config.json").exists()
    newest = job.reader.newest(job.folder, TAIL)[-1:] if begun else []
    if any(isinstance(line, Divergence) for line in newest):
        return "diverged"
    # The last thing that a run does is to evaluate. Its checkpoints need not be there any more.
    if any(isinstance(line, EvaluationLine) and line.steps >= job.stop for line in newest):
        return "finished"
    note, metrics = failure_path(job.folder), job.folder / METRICS
    if note.exists() and not (metrics.exists() and metrics.stat().st_mtime > note.stat().st_mtime):
        return "failed"
    return "interrupted" if begun else "new"


def states_of(jobs: Sequence[Job]) -> dict[Path, str]:
    """The state of each run; that of a branch which cannot begin is "no trunk"."""
    states: dict[Path, str] = {job.folder: state_of(job) for job in jobs}
    for job in jobs:
        if job.trunk is None or states[job.folder] != "new":
            continue
        trunk = states[job.trunk]
        if trunk == "diverged" or (trunk == "finished" and not keeps_checkpoint(job.trunk, job.start)):
            states[job.folder] = "no trunk"
    return states


def divergence_of(job: Job) -> Divergence | None:
    """Where and in what a run diverged, if that is how it ended."""
    newest = job.reader.newest(job.folder, TAIL)
    return newest[-1] if newest and isinstance(newest[-1], Divergence) else None


def keeps_checkpoint(run: Path, step: int) -> bool:
    """Whether a run can still be branched from at this step: its checkpoint is there, and the replay that it names."""
    try:
        segments = read_manifest(run, step).segments
    except ValueError:
        return False
    return all((run / "replay" / segment.file).is_file() for segment in segments)


def in_use(job: Job) -> bool:
    """Whether a process has the run open: another person's, or one that has not stopped yet."""
    if not (job.folder / "lock").exists():
        return False
    try:
        FolderLock(job.folder).release()
    except ValueError:
        return True
    return False


def standing_of(job: Job) -> Standing:
    """Where a run is; a branch that was just made is where its trunk ended."""
    step, train, evaluation = job.start, TrainLine("train", 0), None
    for line in job.reader.newest(job.folder, TAIL):
        step = line.steps
        if isinstance(line, TrainLine):
            train = line
        elif isinstance(line, EvaluationLine):
            evaluation = line.value
    return Standing(step, train.updates_per_second, train.steps_per_second, evaluation)
