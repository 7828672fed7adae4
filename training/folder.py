"""The names of files in a run's folder. The folder is not trusted, and nothing outside it may be reached through it.

Only these names are read, written or deleted, and each has to be a regular file or a real folder. A symbolic link with
one of these names is refused. Files with other names belong to the user and are left alone.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from fire_rl.fire.nearest import did_you_mean

from .durable import Damaged
from .files import METRICS

EVENTS, HPARAMS = "events.*", "config.tfevents"  # TensorBoard's files
OLD_EVENTS = "tensorboard"  # the folder in which older versions wrote TensorBoard's files
TRACKED = "track.json"
FILES = ("config.json", METRICS, "lock", "starting", "curve.png", "measures.png", "phases.png", HPARAMS, TRACKED)
FOLDERS = ("checkpoints", "replay", OLD_EVENTS, "videos", "source")
OURS = {".": EVENTS, "replay": "*.safetensors", OLD_EVENTS: EVENTS, "videos": "step-*", "source": "*.py"}  # in folders
LOGGED = re.compile(rf"{re.escape(METRICS)}|(?:{OLD_EVENTS}/)?events\.out\.tfevents\.[\w.-]+")
WEIGHTS = "model.safetensors"  # this file is in a card, which is not a run although it has a config.json


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: whether it has a config.json, which may be damaged."""
    return os.path.lexists(folder / "config.json")


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False if the name is too long, or without permission, where Path.is_dir raises."""
    return os.path.isdir(path)  # noqa: PTH112


def out_of_reach(path: Path) -> str:
    """Return why a path cannot be looked at, such as its too long name; an empty text if it can, or is missing."""
    try:
        path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{error.strerror or error}"
    return ""


def not_a_run(folder: Path) -> str:
    """Say in one line why a folder is not a run, and name a run of a similar name, or otherwise the newest run.

    The runs are those in the folder itself or, if there is no such folder, those beside it.
    """
    there = is_folder(folder)
    place = folder if there else folder.parent
    try:
        runs = [path for path in place.iterdir() if is_run(path) and path.name.isprintable()]
        newest = max(runs, key=lambda path: path.lstat().st_mtime, default=None)
    except OSError:
        runs, newest = [], None
    where = "in it" if there else f"in {place}"
    near = "" if there else did_you_mean(folder.name, [path.name for path in runs], cutoff=0.8)
    advice = near or (f"; the newest run {where} is {newest}" if newest else "")
    why = "it has no config.json" if there else out_of_reach(folder) or "there is no such folder"
    return f"{str(folder)[:300]} is not a run: {why}{advice}"


def refuse_links(run: Path) -> None:
    """Raise Damaged in one line if one of a run's names is a link, or if a file is a folder or a folder is a file.

    The files inside checkpoints are not looked at here: if one is not a regular file, that checkpoint is damaged.
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
        raise Damaged(f"{path} is not a {'folder' if fits is stat.S_ISDIR else 'regular file'}")


def log_files(run: Path) -> list[Path]:
    """Return the files that only grow during a run: its metrics and its TensorBoard events."""
    events = [*sorted((run / OLD_EVENTS).glob(EVENTS)), *sorted(run.glob(EVENTS))]
    return [run / METRICS, *(path for path in events if LOGGED.fullmatch(str(path.relative_to(run))))]


def runs_below(paths: Iterable[Path]) -> list[Path]:
    """Return all runs at or below the paths, each once, in order; raise ValueError if a path has none."""
    found: dict[Path, Path] = {}
    for path in paths:
        files = path.rglob("config.json") if is_folder(path) else ()
        below = [path] if is_run(path) else sorted(file.parent for file in files)
        below = [folder for folder in below if folder == path or not os.path.lexists(folder / WEIGHTS)]
        if not below:
            why = out_of_reach(path) or "allowed are run folders, and folders with runs below them"
            raise ValueError(f"{path} holds no run: {why}")
        found |= {folder.resolve(): folder for folder in below}
    return list(found.values())
