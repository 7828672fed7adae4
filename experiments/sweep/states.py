"""How far the run of a job is, told by its folder alone: whoever made it, and on whichever machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from training.checkpoint import read_manifest
from training.files import FolderLock

from ..failure import failure_path
from ..lines import Divergence, EvaluationLine, Line, TrainLine, as_kind, end_of
from .grid import Job

State = Literal["new", "interrupted", "finished", "failed", "diverged"]
TAIL = 200_000  # bytes that hold the newest lines of each kind


@dataclass(frozen=True)
class Progress:
    """What the newest lines of a run's metrics say."""

    step: int = 0
    updates_per_second: float | None = None
    steps_per_second: float | None = None
    evaluation: float | None = None


def state_of(job: Job) -> State:
    """Failed is what a comparison has noted, until the run went on; everything else the run's metrics tell."""
    begun = (job.folder / "config.json").exists()
    if begun and divergence_of(job.folder):
        return "diverged"
    lines = newest_lines(job.folder) if begun else []
    # The last thing that a run does is to evaluate. Its checkpoints need not be there any more.
    if lines and lines[-1]["kind"] == "evaluation" and lines[-1]["environment_steps"] >= job.stop:
        return "finished"
    note, metrics = failure_path(job.folder), job.folder / "metrics.jsonl"
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


def divergence_of(run: Path) -> Divergence | None:
    """Where and in what a run diverged, if that is how it ended."""
    lines = newest_lines(run)
    return as_kind(lines[-1], Divergence) if lines and lines[-1]["kind"] == "diverged" else None


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


def progress_of(job: Job) -> Progress:
    """Where a run is; a branch that was just made is where its trunk ended."""
    found: dict[str, Any] = {}
    for line in newest_lines(job.folder):
        found["step"] = line["environment_steps"]
        if train := as_kind(line, TrainLine) if line["kind"] == "train" else None:
            found["updates_per_second"] = train.updates_per_second
            found["steps_per_second"] = train.steps_per_second
        elif evaluation := as_kind(line, EvaluationLine) if line["kind"] == "evaluation" else None:
            found["evaluation"] = evaluation.mean
    return Progress(**({"step": job.start} | found))


def newest_lines(run: Path) -> list[dict[str, Any]]:
    """The whole lines at the end of a run's metrics, without what a full disk has left of one."""
    lines = end_of(run / "metrics.jsonl", TAIL)
    return [parsed for line in lines if line.endswith(b"\n") and (parsed := _parsed(line))]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if as_kind(found, Line) else None
