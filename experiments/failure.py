"""How a run failed: what a comparison notes beside it, in logs/NAME.failed.json, until the run is tried again."""

import os
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from fire_rl.training.files import read_json, write_json
from fire_rl.training.lines import end_of

BEGIN = "--- "  # of the line in a run's log with which each of its processes begins
LAST_WORDS = 15  # lines of a failed run that are kept
LOG_TAIL = 64_000  # bytes of its log that they are looked for in


class Failure(Struct, frozen=True):
    """How a run ended that should not have."""

    code: Annotated[int, Meta(ge=-1_000, le=1_000)]  # the process's exit code; negative: the signal that killed it
    lines: Annotated[tuple[str, ...], Meta(max_length=1_000)]  # the last it said

    @property
    def reason(self) -> str:
        if self.code == -9:
            return "killed (signal 9): out of memory, most likely"
        ending = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{ending}: {self.lines[-1].strip()[-200:]}" if self.lines else ending


def log_path(run: Path) -> Path:
    """What a run prints; beside the run, whose folder has to be empty when it begins."""
    return run.parent / "logs" / f"{run.name}.log"


def open_log(run: Path) -> BinaryIO:
    """To write at its end; never through a link, nor into a pipe, of that name."""
    path = log_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def failure_path(run: Path) -> Path:
    return run.parent / "logs" / f"{run.name}.failed.json"


def note_failure(run: Path, code: int) -> Failure:
    """Keep how a run failed until it is retried."""
    text = b"".join(end_of(log_path(run), LOG_TAIL)).decode(errors="replace")
    lines = text.replace("\r", "\n").splitlines()
    begun = max((index for index, line in enumerate(lines) if line.startswith(BEGIN)), default=-1)
    failure = Failure(code, tuple([line for line in lines[begun + 1 :] if line.strip()][-LAST_WORDS:]))
    failure_path(run).parent.mkdir(parents=True, exist_ok=True)
    write_json(failure_path(run), msgspec.to_builtins(failure))
    return failure


def read_failure(run: Path) -> Failure | None:
    """None where none is noted; Damaged, in one line, where the note is not what is written here."""
    path = failure_path(run)
    return read_json(path, Failure) if path.exists() else None


def forget_failure(run: Path) -> None:
    failure_path(run).unlink(missing_ok=True)
