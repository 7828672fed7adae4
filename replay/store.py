"""Where a replay keeps its segments: in the files of a folder."""

from collections.abc import Iterable
from pathlib import Path


class Damaged(ValueError):
    """A file that is missing, cut short, altered, or not what this code writes: one line that names it."""


class Store:
    """Files in one folder, written under a temporary name first, so that each of them is whole or absent.

    This is enough for files of your own. A subclass can promise more: that of `training/durable.py` survives a power
    cut, and does not trust what it reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: Iterable[bytes | memoryview]) -> None:
        """Write a file, or replace it, by pieces of bytes that follow on each other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{name}.tmp"
        with temporary.open("wb") as file:
            file.writelines(content)
        temporary.replace(self.folder / name)

    def read(self, name: str) -> bytearray:
        """Read a whole file; Damaged where that fails."""
        path = self.folder / name
        try:
            content = bytearray(path.stat().st_size)
            with path.open("rb") as file:
                file.readinto(content)  # no second copy of it is made
        except OSError as error:
            raise Damaged(f"{path}: {error.strerror}") from error
        return content
