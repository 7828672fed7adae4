"""Files of strangers, opened so that nothing waits and no link is followed."""

import os
import stat
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
        raise ValueError(f"{path}: {error.strerror or error}") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; ValueError for a link, a folder, a pipe or a device, which it never waits for."""
    if path.is_symlink():
        raise ValueError(f"{path}: is a symbolic link, which is not followed: put the file itself there")
    with errors_named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path}: is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def read_small(path: Path, at_most: int) -> bytes:
    """The content of a regular file that should be small."""
    with open_regular(path) as file, errors_named(path):
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise ValueError(f"{path}: has {size:,} bytes; {at_most:,} are allowed")
        return file.read(at_most)
