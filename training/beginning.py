"""The three ways a run begins: anew, as the rest of one that stopped, as a branch of another."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from fire import parse_intervention

from .algorithms import Config, config_to_json
from .checkpoint import link_checkpoint, read_checkpoint, steps_of, verify
from .files import read_json, write_json
from .policy import checked_step, read_config, split_run
from .settings import flag

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "ale-py", "MinAtar", "safetensors")
STARTING = "starting"  # a file that is there until config.json makes the folder a run
OF_THE_TRUNK = ("seed", "env", "num_envs", "action_repeat", "replay_capacity", "learning_starts")


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    config: Config
    given: Mapping[str, Any]  # the settings that were given explicitly, by name
    run_dir: Path | None = None
    resume: Path | None = None
    branch_from: str | None = None


def resumed_config(request: Request, folder: Path) -> Config:
    """The run's own settings; only its length, and whether it is filmed, may change."""
    config = read_config(folder)
    if others := sorted(set(request.given) - {"steps", "video"}):
        raise ValueError(
            f"{flag(others[0])} given with --resume; a resumed run keeps its settings but for --steps and --video"
        )
    steps, reached = request.given.get("steps"), max(steps_of(folder), default=0)
    if steps is not None and steps < reached:
        raise ValueError(f"--steps {steps} given; {folder} is already at step {reached}")
    return replace(config, run=replace(config.run, **request.given))


def branched_config(request: Request, source: str) -> Config:
    """The trunk's settings under those given explicitly, and one event of the method at the branch point."""
    trunk, step = branch_point(source)
    verify(trunk, step)  # before anything is written
    config = read_config(trunk)
    names = {field.name for field in fields(config.run)}
    if foreign := sorted(set(request.given) - names):
        raise ValueError(
            f"{flag(foreign[0])} given with --branch-from; a branch keeps its trunk's agent and environment"
        )
    if fixed := [
        name for name in OF_THE_TRUNK if request.given.get(name, getattr(config.run, name)) != getattr(config.run, name)
    ]:
        raise ValueError(f"{flag(fixed[0])} given with --branch-from; a branch keeps its trunk's {fixed[0]}")
    changes = {name: value for name, value in request.given.items() if name in names}
    method = changes.get("reinit", "none")
    kind = parse_intervention(method)
    # Nothing of the trunk's schedule: what it has of the branch's would be an accident.
    changes = {"reinit": method, "reinit_every": kind.usual_period, "reinit_at": (), "reinit_when": (), **changes}
    if kind.acts_at_events:
        changes["reinit_at"] = (step, *(later for later in changes["reinit_at"] if later > step))
    settings = replace(config.run, **changes)
    if step >= settings.steps:
        raise ValueError(f"a branch at step {step} of {settings.steps} would end at once: give a longer --steps")
    return replace(config, run=settings)


def branch_point(source: str) -> tuple[Path, int]:
    """`RUN@STEP`, or `RUN` for its newest checkpoint."""
    trunk, step = split_run(source)
    read_config(trunk)
    steps = steps_of(trunk)
    return trunk, checked_step(trunk, step if step is not None else max(steps, default=0))


def start_branch(source: str, folder: Path) -> None:
    """Copy the trunk's history and link its checkpoint, which makes the folder a run that can be resumed."""
    trunk, step = branch_point(source)
    for name in read_checkpoint(trunk, step).values["file_sizes"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(trunk / name, folder / name)
    link_checkpoint(trunk, step, folder)


def check_vacant(folder: Path) -> None:
    """Refuse a folder with anything in it but what a start that was killed left behind."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose another --run-dir")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    begun = STARTING in names and "config.json" not in names
    if names - {"lock"} and not begun:
        raise ValueError(f"{folder} is not empty: continue it with --resume {folder}, or choose another --run-dir")


def begin(request: Request, config: Config, folder: Path) -> None:
    """Make a vacant folder a run; killed in between, it can be begun again."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("lock", STARTING):
            path.unlink()
    (folder / STARTING).touch()
    if request.branch_from is not None:
        start_branch(request.branch_from, folder)
    write_json(folder / "config.json", describe(config, request.branch_from))
    (folder / STARTING).unlink()


def keep_changes(folder: Path, changes: Mapping[str, Any]) -> None:
    """What a resumed run does differently from now on; whatever else its config tells stays."""
    kept = read_json(folder / "config.json")
    write_json(folder / "config.json", kept | {"run": kept["run"] | changes})


def default_folder(config: Config) -> Path:
    """`runs/<environment>-<method>-seed<N>-<time>`, not there yet."""
    settings = config.run
    return Path("runs") / folder_name(
        f"{settings.env}-{settings.method}-seed{settings.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    )


def folder_name(text: str) -> str:
    """A name made fit for a folder."""
    return "".join(letter if letter.isalnum() or letter in "-_.=+" else "_" for letter in text)


def describe(config: Config, branch_from: str | None) -> dict[str, Any]:
    """What `config.json` holds: every value, and what the run was made with."""
    return config_to_json(config) | {
        "branch_from": branch_from,
        "versions": {"python": platform.python_version()} | versions(),
        "commit": commit(),
        "processor": processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": sys.argv,
    }


def versions() -> dict[str, str]:
    """Of the packages that have a part in the result, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit() -> str | None:
    """The checkout's commit, marked where files differ from it."""
    try:
        root = Path(__file__).parent
        call = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """The processor's name where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
