"""Records how a run of a comparison failed, in logs/NAME.failed.json, until the run is tried again."""

import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from fire_rl.training.files import read_json, write_json
from fire_rl.training.lines import end_of

BEGIN = "--- "  # how the line begins that marks the start of each process in a run's log
LAST_WORDS = 15  # lines of a failed run's log that are kept
LOG_TAIL = 64_000  # bytes at the end of the log in which these lines are searched


class Failure(Struct, frozen=True):
    """The exit code and the last lines of a run that failed."""

    code: Annotated[int, Meta(ge=-1_000, le=1_000)]  # exit code of the process; negative: the signal that killed it
    lines: Annotated[tuple[str, ...], Meta(max_length=1_000)]  # the last lines of its output

    @property
    def reason(self) -> str:
        """Why the run failed, in one line."""
        if self.code == -9:
            return "killed (signal 9): most likely out of memory"
        ending = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{ending}: {self.lines[-1].strip()[-200:]}" if self.lines else ending


def log_path(run: Path) -> Path:
    """Return the file for a run's output. It is not in the run's folder, which must be empty when the run begins."""
    return run.parent / "logs" / f"{run.name}.log"


def open_log(run: Path) -> BinaryIO:
    """Open a run's log to append to it. A symbolic link or a pipe of that name is refused."""
    path = log_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def failure_path(run: Path) -> Path:
    """Return the file in which the failure of a run is recorded."""
    return run.parent / "logs" / f"{run.name}.failed.json"


def note_failure(run: Path, code: int) -> Failure:
    """Write down how a run failed, and return it; the record stays until the run is retried.

    If it cannot be written, as on a full disk, a line says so, and the next comparison runs the run again.
    """
    text = b"".join(end_of(log_path(run), LOG_TAIL)).decode(errors="replace")
    lines = text.replace("\r", "\n").splitlines()
    begun = max((index for index, line in enumerate(lines) if line.startswith(BEGIN)), default=-1)
    failure = Failure(code, tuple([line for line in lines[begun + 1 :] if line.strip()][-LAST_WORDS:]))
    try:
        failure_path(run).parent.mkdir(parents=True, exist_ok=True)
        write_json(failure_path(run), msgspec.to_builtins(failure))
    except OSError as error:
        print(f"warning: the failure of {run.name} cannot be recorded: {error.strerror or error}", file=sys.stderr)
    return failure


def read_failure(run: Path) -> Failure | None:
    """Return the recorded failure of a run, or None. Raise Damaged if the file is not a record of a failure."""
    path = failure_path(run)
    return read_json(path, Failure) if os.path.lexists(path) else None


def forget_failure(run: Path) -> None:
    """Delete the record of a run's failure, if there is one."""
    failure_path(run).unlink(missing_ok=True)
