"""Delete what a run no longer needs: older checkpoints, their replay segments, and files that were never completed."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from .checkpoint import folder_of, read_manifest, remove, steps_of
from .durable import Damaged
from .folder import FILES, OURS

KEPT = 2  # so many of the newest checkpoints are kept, besides the requested ones
TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.tmp")  # with the id of the process that was writing the file
TEMPORARY_CHECKPOINT = re.compile(r"\.\d{12}\.tmp")


def delete_temporary_files(run: Path) -> None:
    """Delete the temporary files of a run that a killed process left behind.

    Files of other names stay: they may belong to the user, or to a command that is writing into the folder now.
    """
    for folder in OURS:
        for path in (run / folder).glob(".*.tmp"):
            if is_temporary(path.name, folder) and not path.is_dir():
                path.unlink()
    for path in (run / "checkpoints").glob(".*.tmp"):
        if TEMPORARY_CHECKPOINT.fullmatch(path.name):
            remove(path)


def is_temporary(name: str, folder: str = ".") -> bool:
    """Whether a run gives this name to a file that it is writing in one of its folders."""
    found = TEMPORARY.fullmatch(name)
    whole = found["name"] if found else ""
    return fnmatchcase(whole, OURS[folder]) or (folder == "." and whole in FILES)


def prune(run: Path, requested: Iterable[int]) -> str:
    """Delete all checkpoints but the newest and the requested ones, then the segments that no manifest names.

    If a manifest cannot be read, it may name any of the segments. Then all of them stay, and a line says why.
    """
    steps = steps_of(run)
    for step in set(steps[:-KEPT]) - set(requested):
        remove_checkpoint(run, step)
    named = set()
    for step in steps_of(run):
        try:
            named |= {segment.file for segment in read_manifest(run, step).segments}
        except Damaged as error:
            return f"no file of {run / 'replay'} is deleted any more, because a checkpoint is damaged ({error})"
    for path in (run / "replay").glob("*.safetensors"):
        if path.name not in named:
            path.unlink()
    return ""


def remove_checkpoint(run: Path, step: int) -> None:
    """Delete a checkpoint, its manifest first: a folder that is left half deleted does not pass for a checkpoint."""
    folder = folder_of(run, step)
    if not folder.is_symlink():
        remove(folder / "manifest.json")
    remove(folder)
