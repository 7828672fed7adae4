"""Find the files of a data set, or say in one line which files to put where."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .files import folder_itself


@dataclass(frozen=True)
class Archive:
    """An archive file as its authors publish it."""

    name: str
    size: int  # bytes
    md5: str
    address: str
    folder: str  # the folder that it unpacks to

    def told(self) -> str:
        """Return the archive's name, address, size and checksum in words."""
        return f"{self.name} ({self.address}; {self.size:,} bytes, MD5 {self.md5})"

    def extraction(self, folder: Path) -> str:
        """Return the command that unpacks the archive inside its folder."""
        archive, target = shlex.quote(str(folder / self.name)), shlex.quote(str(folder))
        if self.name.endswith(".zip"):
            return f"python -m zipfile -e {archive} {target}"
        return f"tar -xzf {archive} -C {target}"


@dataclass(frozen=True)
class Place:
    """How the files of a set are recognised in a folder."""

    archive: Archive
    first: str  # a folder that has this file is taken to have the whole set
    unsafe: Sequence[str] = ()  # names in the Python and MATLAB versions, which are not read


def found(name: str, folder: Path | None, place: Place) -> Path:
    """Return the folder with the set's files: the given one, or the one inside it that the archive unpacks to.

    If there is none, raise ValueError in one line that says what to do.
    """
    archive = place.archive
    if folder is None:
        raise ValueError(f"{name} is read from files: give --data-dir FOLDER with the unpacked {archive.told()} in it")
    if not folder.is_dir():
        raise ValueError(
            f"--data-dir {folder} is not a folder; {name} needs one with the unpacked {archive.told()} in it"
        )
    for candidate in (folder, folder / archive.folder):
        if os.path.lexists(candidate / place.first):
            return candidate if candidate == folder else folder_itself(candidate)
    if os.path.lexists(folder / archive.name):
        command = archive.extraction(folder)
        raise ValueError(f"{folder / archive.name} is not unpacked yet: {command} (its MD5 should be {archive.md5})")
    for unsafe in place.unsafe:
        if os.path.lexists(folder / unsafe):
            raise ValueError(
                f"{folder / unsafe} belongs to the Python or MATLAB version of {name}, which is not read (loading "
                f"the pickle files of the former can run any code): get the binary version, {archive.told()}"
            )
    raise ValueError(
        f"{folder} has no {place.first}, nor has {folder / archive.folder}: for {name}, unpack {archive.told()} there"
    )


def read_in_words(title: str, train: tuple[int, int], test: tuple[int, int], place: str) -> str:
    """Say how many of the published training and test images were read, and from where."""

    def counted(read: int, published: int) -> str:
        return f"{read:,}" if read == published else f"{read:,} of the {published:,}"

    return f"{title}: {counted(*train)} training and {counted(*test)} test images from {place}"
