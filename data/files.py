"""Files of strangers: regular ones only, no larger than their format allows, and never more than that unpacked."""

import itertools
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """An error of the operating system as one line that names the file."""
    try:
        yield
    except OSError as error:
        linked = "is a symbolic link, which is not followed: put the file itself there"
        raise ValueError(f"{path}: {linked if path.is_symlink() else error.strerror or error}") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read. It never waits, as a pipe would make it, and never follows a symbolic link."""
    with errors_named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path}: is no regular file")
    return os.fdopen(descriptor, "rb")


def content_of(path: Path, at_most: int) -> bytes:
    """A regular file's content."""
    with open_regular(path) as file, errors_named(path):
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise ValueError(f"{path}: has {size:,} bytes; its format allows {at_most:,}")
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{path}: changed while it was read")
    return content


def unpacked(content: bytes, at_most: int, path: Path) -> bytes:
    """The content of a gzip file, whose checksum is right; no more than a byte too many is ever unpacked."""
    inflate = zlib.decompressobj(wbits=31)  # 31: with gzip's header and checksum
    try:
        result = inflate.decompress(content, at_most + 1)
    except zlib.error as error:
        raise ValueError(f"{path}: is no sound gzip file ({error})") from error
    if len(result) > at_most:
        raise ValueError(f"{path}: unpacks to more than the {at_most:,} bytes that its format allows")
    if not inflate.eof:
        raise ValueError(f"{path}: is cut short")
    if inflate.unused_data:
        raise ValueError(f"{path}: goes on after the end of the packed file")
    return result


def packed_size(size: int) -> int:
    """The most bytes that packing this many can take: stored as they are, in blocks, with a header and a name."""
    return size + size // 1000 + 4096


def names_in(folder: Path, at_most: int) -> list[str]:
    """What a folder holds, sorted."""
    with errors_named(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, at_most + 1)]
    if len(names) > at_most:
        raise ValueError(f"{folder}: has more than the {at_most:,} files that it may have")
    return sorted(names)


def folder_itself(path: Path) -> Path:
    """A folder inside the one that was named; refused where it is a symbolic link or something else."""
    with errors_named(path):
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise ValueError(f"{path}: is a symbolic link or no folder")
    return path
