"""JSON that is bounded and checked when it is read, lines that only grow, and the lock on a run's folder."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from fire_rl.fire.event import finite

from .durable import Damaged, naming, read_regular, write_durably

JSON_BYTES = 64_000_000  # at most, of a file; a checkpoint's state has tens of thousands
METRICS = "metrics.jsonl"
NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
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

    def append(self, value: dict[str, Any]) -> dict[str, Any]:
        """Write a line; what stands there now, in which null takes the place of what is not finite."""
        line: dict[str, Any] = finite(value)
        with naming(self.path):
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        return line

    def sync(self) -> None:
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class FolderLock:
    """Keeps a second process out of a run's folder; the operating system drops it with its owner."""

    def __init__(self, folder: Path) -> None:
        from filelock import Timeout, UnixFileLock  # its import takes as long as reading a command line

        path = folder / "lock"
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            kind = "is a symbolic link" if path.is_symlink() else "is no regular file"
            raise ValueError(f"{folder} cannot be locked: {path.name} {kind}")
        self._lock = UnixFileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
        while True:
            try:
                self._lock.acquire()
                return
            except Timeout as error:
                if path.exists():
                    raise ValueError(f"{folder} is in use by another process: wait for it or stop it") from error
                # Its owner has taken folder and lock away meanwhile: once more.
            except OSError as error:
                if error.errno in NO_FLOCK:
                    needed = "its file system has to have flock"
                    raise ValueError(f"{folder} cannot be locked: {error.strerror}; {needed}") from error
                reason = "is a symbolic link" if path.is_symlink() else error.strerror
                raise ValueError(f"{folder} cannot be locked: {path.name} {reason}") from error

    def release(self) -> None:
        self._lock.release()


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
