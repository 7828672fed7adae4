"""The names that a run's folder may hold. Nothing in it leads out of it, whoever wrote it.

Only these names are read, written or deleted, each of them as a regular file or a true folder. A symbolic link among
them is refused, so that nothing outside is ever reached. Files of other names belong to their owner and stay.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from .durable import Damaged
from .files import METRICS

EVENTS, HPARAMS = "events.*", "config.tfevents"  # of TensorBoard
OLD_EVENTS = "tensorboard"  # the folder that older versions wrote them into
TRACKED = "track.json"
FILES = ("config.json", METRICS, "lock", "starting", "curve.png", "measures.png", "phases.png", HPARAMS, TRACKED)
FOLDERS = ("checkpoints", "replay", OLD_EVENTS, "videos", "source")
OURS = {".": EVENTS, "replay": "*.safetensors", OLD_EVENTS: EVENTS, "videos": "step-*", "source": "*.py"}  # in folders
LOGGED = re.compile(rf"{re.escape(METRICS)}|(?:{OLD_EVENTS}/)?events\.out\.tfevents\.[\w.-]+")
WEIGHTS = "model.safetensors"  # of a card, which is no run although it has a configuration


def is_run(folder: Path) -> bool:
    """Whether there is a configuration, which makes a folder a run; it may be damaged."""
    return (folder / "config.json").is_symlink() or (folder / "config.json").exists()


def refuse_links(run: Path) -> None:
    """Raise Damaged, in one line, where one of a run's own names is a link, or not the file or the folder that it is.

    What is in the folders of checkpoints is left out: where that is no regular file, the checkpoint is damaged.
    """
    for name in (*FILES, *FOLDERS):
        if os.path.lexists(run / name):
            _require(run / name, stat.S_ISDIR if name in FOLDERS else stat.S_ISREG)
    for folder, pattern in OURS.items():
        for path in (run / folder).glob(pattern):
            _require(path, stat.S_ISREG)


def _require(path: Path, fits: Callable[[int], bool]) -> None:
    mode = path.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        raise Damaged(f"{path} is a symbolic link; a run's files have to be in its own folder")
    if not fits(mode):
        raise Damaged(f"{path} is no {'folder' if fits is stat.S_ISDIR else 'regular file'}")


def log_files(run: Path) -> list[Path]:
    """What only grows while a run goes on: its metrics and its TensorBoard events."""
    events = [*sorted((run / OLD_EVENTS).glob(EVENTS)), *sorted(run.glob(EVENTS))]
    return [run / METRICS, *(path for path in events if LOGGED.fullmatch(str(path.relative_to(run))))]


def runs_below(paths: Iterable[Path]) -> list[Path]:
    """Every run at or below the paths, each once, in order; ValueError where a path has none."""
    found: dict[Path, Path] = {}
    for path in paths:
        below = [path] if is_run(path) else sorted(file.parent for file in path.rglob("config.json"))
        below = [folder for folder in below if folder == path or not os.path.lexists(folder / WEIGHTS)]
        if not below:
            raise ValueError(f"{path} holds no run: allowed are run folders, and folders with runs below them")
        found |= {folder.resolve(): folder for folder in below}
    return list(found.values())
