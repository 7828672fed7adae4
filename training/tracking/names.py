"""The names that `--track` takes: the built-in trackers, the package that each needs, and the user's own code."""

import importlib.util
import re
from collections.abc import Sequence

from fire_rl.fire.nearest import did_you_mean
from fire_rl.place import install

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}  # the package that each built-in tracker imports
KINDS = ("trunk", "branch")  # tags that a comparison gives to its runs, even without a tracker
MOST = 8  # trackers of a run, at most
WORD = re.compile(r"[\w .:=+@/-]{1,60}")  # the name of a project, a group or a tag
OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_trackers(names: Sequence[str]) -> None:
    """Raise ValueError, in one line, for the name of no tracker, a repeated name or too many names."""
    for name in names:
        if name in PACKAGES or OWN.fullmatch(name) or (name == "none" and len(names) == 1):
            continue
        if name.lower() == "tensorboard":
            raise ValueError(f"--track {name} given; TensorBoard's events are always written: leave it out")
        meant = did_you_mean(name.lower(), PACKAGES, 0.4)
        allowed = f"{', '.join(PACKAGES)}, module:Class, or none alone"
        raise ValueError(f"--track {name!r} given; allowed are {allowed}{meant}")
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise ValueError(f"--track {twice[0]!r} given twice")
    if len(names) > MOST:
        raise ValueError(f"--track given {len(names)} trackers; allowed are {MOST}")


def trackers_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of trackers, without the word "none"."""
    return tuple(name for name in names if name != "none")


def is_own(name: str) -> bool:
    """Whether a tracker is the user's own code."""
    return name not in PACKAGES and ":" in name


def check_word(setting: str, text: str) -> None:
    """Raise ValueError if the name of a project, a group or a tag has characters that some tracker refuses."""
    if not WORD.fullmatch(text):
        raise ValueError(f"{setting} {text!r} given; allowed are 1 to 60 letters, digits and any of ' .:=+@/_-'")


def check_project(names: Sequence[str], project: str) -> None:
    """Raise ValueError for the name of a project that W&B would refuse after the run has begun."""
    if "wandb" in names and (wrong := [letter for letter in project if letter in "/:"]):
        raise ValueError(
            f"--track-project {project!r} given with --track wandb, which allows no {wrong[0]!r} in the name of "
            "a project; its owner is given by WANDB_ENTITY"
        )


def require_packages(names: Sequence[str]) -> None:
    """Raise ValueError, with the command that installs it, if a built-in tracker's package is missing."""
    for name in trackers_of(names):
        if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
            raise missing(name)


def missing(name: str, package: str | None = None) -> ValueError:
    """Return the error for a tracker or a package that cannot be imported."""
    if name in PACKAGES and package in (None, PACKAGES[name]):
        return ValueError(
            f"--track {name} needs the package {PACKAGES[name]}: {install('track')} (--track none runs without it)"
        )
    return ValueError(f"--track {name} cannot be imported: there is no module {package!r}")
