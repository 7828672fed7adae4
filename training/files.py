"""Text that only grows, JSON, and the lock on a run's folder."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, TextIO

from fire.event import finite
from replay.durable import write_durably


def write_json(path: Path, value: Any) -> None:
    write_durably(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


class Lines:
    """A file of JSON lines that only grows; each line is handed to the system at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("a")

    def append(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(finite(value), allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


class FolderLock:
    """Keeps a second process out of a run's folder; the operating system drops it with its owner."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            if not isinstance(error, BlockingIOError):  # no locks on this file system, most likely
                raise ValueError(
                    f"{folder} cannot be locked: {error.strerror}; its file system has to have flock"
                ) from error
            raise ValueError(f"{folder} is in use by another process: wait for it or stop it") from error

    def release(self) -> None:
        self._file.close()
