"""How far the run of a job is, told by its folder alone: whoever made it, and on whichever machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.checkpoint import steps_of
from training.files import read_json, write_json

from .grid import Job

State = Literal["new", "interrupted", "finished", "failed"]
TAIL = 200_000  # bytes that hold the newest lines of each kind
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
        return f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"


def state_of(job: Job) -> State:
    """Failed is what a comparison has noted; everything else the run itself tells."""
    if failure_path(job).exists():
        return "failed"
    if not (job.folder / "config.json").exists():
        return "new"
    lines = newest_lines(job.folder)
    # The last thing a run does is to evaluate, after its last checkpoint.
    ended = lines and lines[-1]["kind"] == "evaluation" and lines[-1]["environment_steps"] >= job.stop
    return "finished" if ended and max(steps_of(job.folder), default=0) >= job.stop else "interrupted"


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
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


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
    failure_path(job).parent.mkdir(parents=True, exist_ok=True)
    failure = Failure(code, tuple([line for line in lines if line.strip()][-LAST_WORDS:]))
    write_json(failure_path(job), {"code": failure.code, "lines": failure.lines})
    return failure


def read_failure(job: Job) -> Failure:
    kept = read_json(failure_path(job))
    return Failure(kept["code"], tuple(kept["lines"]))


def forget_failure(job: Job) -> None:
    failure_path(job).unlink(missing_ok=True)
