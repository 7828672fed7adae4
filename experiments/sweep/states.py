"""How far the run of a job is, told by its folder alone: whoever made it, and on whichever machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.checkpoint import steps_of
from training.files import FolderLock, read_json, write_json

from .grid import Job

State = Literal["new", "interrupted", "finished", "failed"]
TAIL = 200_000  # bytes that hold the newest lines of each kind
BEGIN = "--- "  # of the line in a run's log with which each of its processes begins
LAST_WORDS = 15  # lines of a failed run that are shown


@dataclass(frozen=True)
class Progress:
    """What the newest lines of a run's metrics say."""

    step: int = 0
    updates_per_second: float | None = None
    steps_per_second: float | None = None
    evaluation: float | None = None


@dataclass(frozen=True)
class Failure:
    """How a run ended that should not have."""

    code: int  # the process's exit code; negative: the signal that killed it
    lines: tuple[str, ...]  # the last it said

    @property
    def reason(self) -> str:
        if self.code == -9:
            return "killed (signal 9): out of memory, most likely"
        ending = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{ending}: {self.lines[-1].strip()}" if self.lines else ending


def state_of(job: Job) -> State:
    """Failed is what a comparison has noted, until the run went on; everything else the run itself tells."""
    begun = (job.folder / "config.json").exists()
    lines = newest_lines(job.folder) if begun else []
    # The last thing a run does is to evaluate, after its last checkpoint.
    ended = lines and lines[-1]["kind"] == "evaluation" and lines[-1]["environment_steps"] >= job.stop
    if ended and max(steps_of(job.folder), default=0) >= job.stop:
        return "finished"
    note, metrics = failure_path(job), job.folder / "metrics.jsonl"
    if note.exists() and not (metrics.exists() and metrics.stat().st_mtime > note.stat().st_mtime):
        return "failed"
    return "interrupted" if begun else "new"


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
        if line["kind"] == "train":
            found["updates_per_second"] = line["updates_per_second"]
            found["steps_per_second"] = line["steps_per_second"]
        elif line["kind"] == "evaluation":
            found["evaluation"] = line["return"]
    return Progress(**({"step": job.start} | found))


def newest_lines(folder: Path) -> list[dict[str, Any]]:
    """The whole lines at the end of a run's metrics."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            text = file.read()
    except OSError:
        return []
    lines = text.splitlines(keepends=True)[1 if size > TAIL else 0 :]
    return [parsed for line in lines if line.endswith(b"\n") and (parsed := _parsed(line))]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """None of what a full disk has left of a line: the run itself has to say so."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"kind", "environment_steps"} <= found.keys() else None


def log_path(job: Job) -> Path:
    """What a run prints; beside the run, whose folder has to be empty when it begins."""
    return job.folder.parent / "logs" / f"{job.name}.log"


def failure_path(job: Job) -> Path:
    return job.folder.parent / "logs" / f"{job.name}.failed.json"


def note_failure(job: Job, code: int) -> Failure:
    """Keep how a run failed until it is retried."""
    try:
        lines = log_path(job).read_text(errors="replace").replace("\r", "\n").splitlines()
    except OSError:
        lines = []
    begun = max((index for index, line in enumerate(lines) if line.startswith(BEGIN)), default=-1)
    lines = lines[begun + 1 :]
    failure_path(job).parent.mkdir(parents=True, exist_ok=True)
    failure = Failure(code, tuple([line for line in lines if line.strip()][-LAST_WORDS:]))
    write_json(failure_path(job), {"code": failure.code, "lines": failure.lines})
    return failure


def read_failure(job: Job) -> Failure:
    kept = read_json(failure_path(job))
    return Failure(kept["code"], tuple(kept["lines"]))


def forget_failure(job: Job) -> None:
    failure_path(job).unlink(missing_ok=True)
