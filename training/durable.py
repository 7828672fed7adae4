"""Write files so that a crash leaves them whole or absent, and read only regular files of a limited size."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fire_rl.replay import Damaged, Store

__all__ = [
    "Damaged", "DurableStore", "copy_durably", "flush_folder", "naming", "open_regular", "read_regular",
    "require_writable", "write_durably",
]  # fmt: skip

PIECE = 1_000_000  # bytes copied at a time
LARGEST_SEGMENT = 2**32  # bytes that are read at most; segments that are written have at most some hundred million


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
    """Return the content of a regular file; raise Damaged if it has more than `at_most` bytes or cannot be read."""
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


def require_writable(folder: Path) -> None:
    """Raise ValueError, in one line, if no file can be made in a folder: before long work, and not after it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror or error}") from error
