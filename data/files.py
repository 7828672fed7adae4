"""Read files that are not trusted: regular files only, with a limit on the bytes that are read or unpacked."""

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
    """Turn an error of the operating system into a ValueError in one line that names the file."""
    try:
        yield
    except OSError as error:
        linked = "is a symbolic link, which is not followed: put the file itself there"
        raise ValueError(f"{path}: {linked if path.is_symlink() else error.strerror or error}") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without following a symbolic link or waiting for a pipe."""
    with errors_named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path}: is not a regular file")
    return os.fdopen(descriptor, "rb")


def content_of(path: Path, at_most: int) -> bytes:
    """Return the content of a regular file; raise ValueError if it has more than `at_most` bytes."""
    with open_regular(path) as file, errors_named(path):
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise ValueError(f"{path}: has {size:,} bytes; its format allows {at_most:,}")
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{path}: changed while it was read")
    return content


def unpacked(content: bytes, at_most: int, path: Path) -> bytes:
    """Unpack the content of a gzip file and check its checksum; at most one byte more than `at_most` is unpacked."""
    inflate = zlib.decompressobj(wbits=31)  # 31: with gzip's header and checksum
    try:
        result = inflate.decompress(content, at_most + 1)
    except zlib.error as error:
        raise ValueError(f"{path}: is not a valid gzip file ({error})") from error
    if len(result) > at_most:
        raise ValueError(f"{path}: unpacks to more than the {at_most:,} bytes that its format allows")
    if not inflate.eof:
        raise ValueError(f"{path}: is cut short")
    if inflate.unused_data:
        raise ValueError(f"{path}: has more bytes after the end of the packed file")
    return result


def packed_size(size: int) -> int:
    """Return the largest size of a gzip file of this many bytes: blocks stored without compression, header and name."""
    return size + size // 1000 + 4096


def names_in(folder: Path, at_most: int) -> list[str]:
    """Return the names in a folder, sorted; raise ValueError if there are more than `at_most`."""
    with errors_named(folder), os.scandir(folder) as entries:
        names = [entry.name for entry in itertools.islice(entries, at_most + 1)]
    if len(names) > at_most:
        raise ValueError(f"{folder}: has more than the {at_most:,} files that it may have")
    return sorted(names)


def folder_itself(path: Path) -> Path:
    """Return a folder inside the given one; raise ValueError if it is a symbolic link or not a folder."""
    with errors_named(path):
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise ValueError(f"{path}: is a symbolic link or not a folder")
    return path
