"""Files that are whole or absent when written, and that are what they seem when read."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Damaged(ValueError):
    """A file that is missing, cut short, altered, or not what is written here: one line that names it."""


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; a crash at any moment leaves the old file or the new one."""
    with temporary_file(path.parent, path.name) as file:
        file.write(content)
        rename_durably(file, path)


@contextmanager
def temporary_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A file to write and then to rename; nothing of it is left where the block fails."""
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        with naming(temporary), temporary.open("xb") as file:  # never through a link of that name
            yield file
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system's, such as a full disk, says which file it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def rename_durably(file: BinaryIO, path: Path) -> None:
    """Give a written file its name, once its content is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; Damaged where there is none, or a link, a folder, a pipe or a device instead.

    Nothing is waited for: a pipe that nobody writes to would keep a reader for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        link = path.is_symlink() if isinstance(error, OSError) else False
        reason = "is a symbolic link" if link else getattr(error, "strerror", None) or error
        raise Damaged(f"{path}: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(f"{path}: is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def read_regular(path: Path, at_most: int) -> bytearray:
    """The content of a regular file, if it is no longer than that."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise Damaged(f"{path}: has {size:,} bytes, more than the {at_most:,} that are read")
        try:
            content = bytearray(size)
        except MemoryError as error:
            raise Damaged(f"{path}: its {size:,} bytes do not fit into memory") from error
        done = 0
        with memoryview(content) as view:
            while count := file.readinto(view[done:]):  # type: ignore[attr-defined]  # a raw file's
                done += count
    if done < size:
        raise Damaged(f"{path}: was cut short while it was read")
    return content
