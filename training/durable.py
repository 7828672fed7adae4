"""Write files so that a crash leaves them whole or absent, and read only regular files of a limited size."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import torch

from fire_rl.memory import available_memory
from fire_rl.replay import Damaged, Store

from .error_words import message_of

__all__ = [
    "Damaged", "DurableStore", "NotEnoughMemory", "copy_durably", "enough_memory", "flush_folder", "naming",
    "open_regular", "read_regular", "require_writable", "writable", "write_durably",
]  # fmt: skip

PIECE = 1_000_000  # bytes copied at a time
LARGE = 2**26  # bytes from which on it is asked how much memory is free before a file is read
LACK_OF_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")  # in torch's errors
LARGEST_SEGMENT = 2**32  # bytes that are read at most; segments that are written have at most some hundred million


class NotEnoughMemory(ValueError):
    """Memory is lacking at this moment, which says nothing about the files that were read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: not enough memory now ({why}); nothing was changed")


@contextmanager
def enough_memory(path: Path) -> Iterator[None]:
    """Turn an error by which Python, torch or the system reports a lack of memory into NotEnoughMemory in one line."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        of_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in LACK_OF_MEMORY)
        of_the_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
        if not (of_torch or of_the_system or isinstance(error, MemoryError | torch.OutOfMemoryError)):
            raise
        raise NotEnoughMemory(path, message_of(error)) from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, or replace it; a crash at any moment leaves the old content or the new one."""
    write_pieces_durably(path, [content])


def write_pieces_durably(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Do the same with content that is made piece by piece. If this fails, no temporary file is left behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with naming(temporary), temporary.open("xb") as file:  # "x" does not follow a link of that name
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)  # only now is the content on the disk
            flush_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to an error of the operating system, such as a full disk, if it has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that renames inside it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_durably(source: Path, destination: Path, size: int | None = None) -> None:
    """Copy a regular file, or its first `size` bytes, with its times; the copy is then on the disk."""
    with open_regular(source) as reading, naming(destination), destination.open("wb") as writing:
        about = os.fstat(reading.fileno())
        left = about.st_size if size is None else size
        while left and (piece := reading.read(min(left, PIECE))):
            writing.write(piece)
            left -= len(piece)
        writing.flush()
        os.fsync(writing.fileno())
    os.utime(destination, ns=(about.st_atime_ns, about.st_mtime_ns))


def _of_link(path: Path) -> str:
    """Return the words for a symbolic link, which is never followed."""
    with suppress(OSError):
        if path.readlink().parts[:3] == ("..", "..", "blobs"):
            return (
                "is a symbolic link, as in the cache of Hugging Face: links are not followed; "
                "download with  hf download NAME --local-dir DIR"
            )
    return "is a symbolic link"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raise Damaged if it is missing, or is a link, a folder, a pipe or a device.

    This never blocks: opening a pipe that nobody writes to would otherwise wait for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        link = getattr(error, "errno", None) == errno.ELOOP and path.is_symlink()
        reason = _of_link(path) if link else getattr(error, "strerror", None) or error
        raise Damaged(f"{path}: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(f"{path}: is not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def read_regular(path: Path, at_most: int) -> bytearray:
    """Return the content of a regular file.

    Raise Damaged if it has more than `at_most` bytes or cannot be read, and NotEnoughMemory if it does not fit now.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise Damaged(f"{path}: has {size:,} bytes, more than the {at_most:,} that are read")
        if size > LARGE and size > (free := available_memory()):
            raise NotEnoughMemory(path, f"it has {size:,} bytes, and {free:,} are free")
        with enough_memory(path):
            content = bytearray(size)
        done = 0
        with memoryview(content) as view:
            while count := file.readinto(view[done:]):  # type: ignore[attr-defined]  # a raw file's
                done += count
    if done < size:
        raise Damaged(f"{path}: was cut short while it was read")
    return content


class DurableStore(Store):
    """A run's folder of replay segments: written segments survive a power cut, and links are never followed."""

    def write(self, name: str, content: Iterable[bytes | memoryview]) -> None:
        """Write a file durably, and create the folder if it is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_pieces_durably(self.folder / name, content)

    def read(self, name: str) -> bytearray:
        """Read a regular file of bounded size; raise Damaged if the folder is a symbolic link."""
        if self.folder.is_symlink():
            raise Damaged(f"{self.folder}: is a symbolic link")
        return read_regular(self.folder / name, LARGEST_SEGMENT)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn an error in writing the files of a folder into a ValueError in one line."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename or folder} cannot be written to: {error.strerror or error}") from error


def require_writable(folder: Path) -> None:
    """Raise ValueError, in one line, if no file can be made in a folder: before long work, and not after it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror or error}") from error
