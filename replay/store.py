"""Where a replay keeps its segments: the files of a folder."""

from collections.abc import Iterable
from pathlib import Path


class Damaged(ValueError):
    """A file is missing, cut short, altered, or not what this code writes; the message is one line that names it."""


class Store:
    """Files in one folder. Each is written under a temporary name first, so that a file is either complete or absent.

    This is enough for files of your own. A subclass can promise more: the one in `training/durable.py` also survives a
    power cut and does not trust the files that it reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: Iterable[bytes | memoryview]) -> None:
        """Write a file, or replace it; `content` gives its bytes in consecutive pieces."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{name}.tmp"
        with temporary.open("wb") as file:
            file.writelines(content)
        temporary.replace(self.folder / name)

    def read(self, name: str) -> bytearray:
        """Read a whole file; raise Damaged if that fails."""
        path = self.folder / name
        try:
            content = bytearray(path.stat().st_size)
            with path.open("rb") as file:
                file.readinto(content)  # without a second copy in memory
        except OSError as error:
            raise Damaged(f"{path}: {error.strerror}") from error
        return content
