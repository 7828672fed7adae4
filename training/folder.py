"""The names that a run's folder may hold. Nothing in it leads out of it, whoever wrote it.

Only these names are read, written or deleted, each of them as a regular file or a true folder. A symbolic link among
them is refused, so that nothing outside is ever reached. Files of other names belong to their owner and stay.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from replay.durable import Damaged

from .files import METRICS

FILES = ("config.json", METRICS, "lock", "starting", "curve.png", "measures.png")
FOLDERS = ("checkpoints", "replay", "tensorboard", "videos", "source")
LOGGED = re.compile(rf"{re.escape(METRICS)}|tensorboard/events\.out\.tfevents\.[\w.-]+")


def is_run(folder: Path) -> bool:
    """Whether there is a configuration, which makes a folder a run; it may be damaged."""
    return (folder / "config.json").is_symlink() or (folder / "config.json").exists()


def refuse_links(run: Path) -> None:
    """Raise Damaged, in one line, where one of a run's own names is a link or anything but a file or a folder."""
    for path in _own(run):
        if path.is_symlink():
            raise Damaged(f"{path} is a symbolic link; a run's files have to be in its own folder")
        if not (path.is_dir() or path.is_file()):
            raise Damaged(f"{path} is neither a file nor a folder")
    for name in FOLDERS:
        if (run / name).exists() and not (run / name).is_dir():
            raise Damaged(f"{run / name} is no folder")


def _own(run: Path) -> Iterator[Path]:
    """The run's own files and folders that are to be written to, and what half-written ones are called.

    Not what is in the folders of checkpoints: where that is no regular file, the checkpoint is damaged.
    """
    for name in (*FILES, *FOLDERS):
        if (run / name).is_symlink() or (run / name).exists():
            yield run / name
    for folder in ("", *FOLDERS):
        if (run / folder).is_dir():
            yield from (path for path in (run / folder).iterdir() if folder or re.fullmatch(r"\..*\.tmp", path.name))


def log_files(run: Path) -> list[Path]:
    """What only grows while a run goes on: its metrics and its TensorBoard events."""
    return [run / METRICS, *sorted((run / "tensorboard").glob("events.*"))]
