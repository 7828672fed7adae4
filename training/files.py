"""JSON that is bounded and checked when it is read, lines that only grow, and the lock on a run's folder."""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from fire.event import finite
from replay.durable import Damaged, naming, open_regular, read_regular, write_durably

JSON_BYTES = 64_000_000  # at most, of a file; a checkpoint's state has tens of thousands
LINE_BYTES = 16_000_000  # at most, of a line of metrics
METRICS = "metrics.jsonl"
MARKS = {"config.json", "comparison.json", "logs"}  # one of them is in a folder that a run or a comparison has used

T = TypeVar("T")


def write_json(path: Path, value: Any) -> None:
    write_durably(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, kind: Any = dict[str, Any], at_most: int = JSON_BYTES) -> Any:
    """A JSON file as a value of this type; Damaged, in one line that names it, where it is anything else."""
    return decoded(read_regular(path, at_most), kind, path)


def decoded(content: bytes | bytearray, kind: type[T], path: Path) -> T:
    """JSON as a value of this type; `path` is where it comes from."""
    with damage_named(path):
        return msgspec.json.decode(content, type=kind)


def converted(value: Any, kind: type[T], path: Path) -> T:
    """A value read from JSON as one of this type; `path` is where it comes from."""
    with damage_named(path):
        return msgspec.convert(value, kind)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """What is wrong with JSON, as Damaged."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{path}: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise Damaged(f"{path}: is nested too deep") from None


class Lines:
    """A file of JSON lines that only grows; each line is handed to the system at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("a")

    def append(self, value: dict[str, Any]) -> None:
        with naming(self.path):
            self._file.write(json.dumps(finite(value), allow_nan=False) + "\n")
            self._file.flush()

    def sync(self) -> None:
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Line(msgspec.Struct):
    """What every line of metrics has; the rest depends on its kind."""

    kind: str
    environment_steps: int
    updates: int = 0
    decisions: int = 0
    episodes: int = 0


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Every line of a metrics file with its number; None for one that is none, such as the half of one at its end."""
    if not path.exists():
        return
    with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number, whole = number + 1, line.endswith(b"\n")
            yield number, _parsed(line) if whole else None
            while line and not line.endswith(b"\n"):  # the rest of one that is too long to be a line of metrics
                line = file.readline(LINE_BYTES)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(line, type=dict[str, Any])
        msgspec.convert(value, Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file, without what is none."""
    return [line for _, line in lines_of(path) if line is not None]


class FolderLock:
    """Keeps a second process out of a run's folder; the operating system drops it with its owner."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        while True:
            self._descriptor = _opened(path)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._descriptor)
                raise ValueError(f"{folder} is in use by another process: wait for it or stop it") from error
            except OSError as error:  # no locks on this file system, most likely
                os.close(self._descriptor)
                raise ValueError(
                    f"{folder} cannot be locked: {error.strerror}; its file system has to have flock"
                ) from error
            if _is_open_at(self._descriptor, path):
                return
            os.close(self._descriptor)  # its owner has taken folder and lock away meanwhile: once more

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else error.strerror
        raise ValueError(f"{path.parent} cannot be locked: {path.name} {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.parent} cannot be locked: {path.name} is no regular file")
    return descriptor


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except OSError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder, locked before anything in it is looked at; gone again, as it came, where nothing came of it."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{str(folder)!a} cannot be a folder here: its name is no UTF-8") from None
    was_locked_before = (folder / "lock").exists()
    made, lock = _made_and_locked(folder)
    try:
        yield
    finally:
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if names == {"lock"} or not (was_locked_before or names & MARKS):
            (folder / "lock").unlink(missing_ok=True)
            _remove(made)
        lock.release()


def _made_and_locked(folder: Path) -> tuple[list[Path], FolderLock]:
    """The folders that had to be made, the innermost first, and the lock."""
    while True:
        try:
            made = _make(folder)
        except OSError as error:
            reason = "is a file" if error.errno == errno.EEXIST else f"cannot be made: {error.strerror}"
            raise ValueError(f"{str(error.filename or folder)[:200]} {reason}") from error
        try:
            return made, FolderLock(folder)
        except ValueError as error:
            _remove(made)
            if not isinstance(error.__cause__, FileNotFoundError):  # else another process has just taken it away
                raise


def _make(folder: Path) -> list[Path]:
    """Make a folder and those it is in; which of them were not there, the innermost first."""
    made: list[Path] = []
    try:
        for path in (*reversed(folder.parents), folder):
            if not path.is_dir():
                path.mkdir(exist_ok=True)
                made.insert(0, path)
    except OSError:
        _remove(made)
        raise
    return made


def _remove(made: list[Path]) -> None:
    """Remove those folders, as far as they are empty."""
    for path in made:
        try:
            path.rmdir()
        except OSError:
            return
