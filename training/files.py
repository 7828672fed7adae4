"""Read JSON with a size limit and a schema, append lines of JSON to a file, and lock a run's folder."""

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
from .error_words import message_of

JSON_BYTES = 64_000_000  # the largest file that is read; a checkpoint's state has tens of thousands of bytes
CONFIG_BYTES = 1_000_000  # the largest config.json that is read
METRICS = "metrics.jsonl"
NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
MARKS = {"config.json", "comparison.json", "logs"}  # a folder that a run or a sweep has used has one of these

T = TypeVar("T")


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file, so that it survives a power cut."""
    write_durably(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, kind: Any = dict[str, Any], at_most: int = JSON_BYTES) -> Any:
    """Read a JSON file as a value of this type; raise Damaged, in one line that names the file, if it is not one."""
    return decoded(read_regular(path, at_most), kind, path)


def decoded(content: bytes | bytearray, kind: type[T], path: Path) -> T:
    """Decode JSON as a value of this type; `path` names its file in errors."""
    with damage_named(path):
        return msgspec.json.decode(content, type=kind)


def converted(value: Any, kind: type[T], path: Path) -> T:
    """Convert a value read from JSON to this type; `path` names its file in errors."""
    with damage_named(path):
        return msgspec.convert(value, kind)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn errors in decoding JSON into Damaged, with the file's name."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{path}: {message_of(error)}") from error
    except RecursionError:
        raise Damaged(f"{path}: is nested too deep") from None


class Lines:
    """A file to which lines of JSON are appended; each line is passed to the operating system at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("a")

    def append(self, value: dict[str, Any]) -> dict[str, Any]:
        """Write a value as a line, with null for numbers that are not finite; return the value as written."""
        line: dict[str, Any] = finite(value)
        with naming(self.path):
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()
        return line

    def sync(self) -> None:
        """Flush the file to the disk."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class InUse(ValueError):
    """Another process has locked the folder."""


class FolderLock:
    """A lock that keeps a second process out of a run's folder; it is released when the owner's process ends."""

    def __init__(self, folder: Path) -> None:
        from filelock import Timeout, UnixFileLock  # imported late, because it takes as long as reading a command line

        path = folder / "lock"
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            kind = "is a symbolic link" if path.is_symlink() else "is not a regular file"
            raise ValueError(f"{folder} cannot be locked: {path.name} {kind}")
        self._lock = UnixFileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
        while True:
            try:
                self._lock.acquire()
                return
            except Timeout as error:
                if path.exists():
                    raise InUse(f"{folder} is in use by another process: wait for it or stop it") from error
                # The owner has removed the folder and the lock in the meantime: try again.
            except OSError as error:
                if error.errno in NO_FLOCK:
                    needed = "its file system has to support flock"
                    raise ValueError(f"{folder} cannot be locked: {error.strerror}; {needed}") from error
                reason = "is a symbolic link" if path.is_symlink() else error.strerror
                raise ValueError(f"{folder} cannot be locked: {path.name} {reason}") from error

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make and lock a folder before anything in it is read.

    At the end, a folder in which no run or sweep was begun is removed again, if it was made here, or else its lock.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{str(folder)!a} cannot be a folder here: its name is not UTF-8") from None
    was_locked_before = os.path.lexists(folder / "lock")
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
    """Return the folders that had to be made, the innermost first, and the lock."""
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
            if not isinstance(error.__cause__, FileNotFoundError):  # else another process has just removed the folder
                raise


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that did not exist before, the innermost first."""
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
    """Remove these folders, up to the first one that is not empty."""
    for path in made:
        try:
            path.rmdir()
        except OSError:
            return
