"""What `--track` takes: the trackers that there are, which package each needs, and code of one's own."""

import importlib.util
import re
from collections.abc import Sequence

from fire_rl.fire.nearest import did_you_mean
from fire_rl.place import install

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}  # what a built-in tracker imports
KINDS = ("trunk", "branch")  # tags that a comparison gives its runs, tracked or not
MOST = 8  # trackers of a run
WORD = re.compile(r"[\w .:=+@/-]{1,60}")  # of a project, a group, a tag
OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_trackers(names: Sequence[str]) -> None:
    """Raise ValueError, in one line, for a name that no tracker has."""
    for name in names:
        if name in PACKAGES or OWN.fullmatch(name):
            continue
        if name == "none" and len(names) == 1:
            continue
        if name.lower() == "tensorboard":
            raise ValueError(f"--track {name} given; TensorBoard's events are always written: leave it out")
        meant = did_you_mean(name.lower(), PACKAGES, 0.4)
        raise ValueError(
            f"--track {name!r} given; allowed are {', '.join(PACKAGES)}, module:Class, or none alone{meant}"
        )
    if twice := [name for name in names if list(names).count(name) > 1]:
        raise ValueError(f"--track {twice[0]!r} given twice")
    if len(names) > MOST:
        raise ValueError(f"--track given {len(names)} trackers; allowed are {MOST}")


def trackers_of(names: Sequence[str]) -> tuple[str, ...]:
    """Those that are meant: none is none."""
    return tuple(name for name in names if name != "none")


def is_own(name: str) -> bool:
    """Whether it is code of the user's own."""
    return name not in PACKAGES and ":" in name


def check_word(setting: str, text: str) -> None:
    """Raise ValueError where a name of a project, a group or a tag has letters that some tracker refuses."""
    if not WORD.fullmatch(text):
        raise ValueError(f"{setting} {text!r} given; allowed are 1 to 60 letters, digits and any of ' .:=+@/_-'")


def check_project(names: Sequence[str], project: str) -> None:
    """Raise ValueError for a project that W&B would refuse when the run has begun, were it told of it."""
    if "wandb" in names and (wrong := [letter for letter in project if letter in "/:"]):
        raise ValueError(
            f"--track-project {project!r} given with --track wandb, whose projects have no {wrong[0]!r} in their "
            "names; who or what a project belongs to is WANDB_ENTITY"
        )


def require_packages(names: Sequence[str]) -> None:
    """Raise ValueError, with the command that installs it, where a built-in tracker's package is missing."""
    for name in trackers_of(names):
        if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
            raise missing(name)


def missing(name: str, package: str | None = None) -> ValueError:
    """What to say where a package cannot be found."""
    if name in PACKAGES and package in (None, PACKAGES[name]):
        return ValueError(
            f"--track {name} needs the package {PACKAGES[name]}: {install('track')} (--track none leaves it out)"
        )
    return ValueError(f"--track {name} cannot be imported: there is no module {package!r}")
