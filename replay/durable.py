"""Files that are whole or absent: written to a temporary name, flushed to the disk, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; a crash at any moment leaves the old file or the new one."""
    with temporary_file(path.parent, path.name) as file:
        file.write(content)
        rename_durably(file, path)


@contextmanager
def temporary_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A file to write and then to rename; nothing of it is left where the block fails."""
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            yield file
    except BaseException:
        temporary.unlink(missing_ok=True)
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
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
