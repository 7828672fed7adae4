"""Finds the runs that a comparison has begun in a folder without comparison.json, and the settings that they share."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fire_rl.training.beginning import folder_name
from fire_rl.training.files import read_json
from fire_rl.training.learners import name_of, read_config
from fire_rl.training.policy import split_run
from fire_rl.training.settings import names_with

from .grid import TRUNK


@dataclass(frozen=True)
class Begun:
    """A run that has begun."""

    name: str
    env: str
    branch_point: int  # the step at which a trunk ends or a branch begins; 0 for a run without a trunk
    settings: dict[str, Any]  # those that all runs of a comparison share, as JSON has them


class _Described(Struct, frozen=True):
    branch_from: Annotated[str, Meta(max_length=4_000)] | None = None


def begun_in(folder: Path) -> Iterator[Begun]:
    """Yield the runs in a folder whose names are those of a comparison's runs.

    A run that cannot be read is left out here. If it is planned, it is named when it is resumed.
    """
    for file in sorted(folder.glob("*/config.json")):
        with suppress(ValueError):
            if begun := _begun(file):
                yield begun


def _begun(file: Path) -> Begun | None:
    config, name = read_config(file.parent), file.parent.name
    run = config.run
    if not (name.startswith(f"{folder_name(run.env)}-") and name.endswith(f"-seed{run.seed}")):
        return None
    source = read_json(file, _Described).branch_from
    trunk = source is None and TRUNK in run.track_tags  # branches without a tracker have the tag from their trunk
    point = run.steps if trunk else (split_run(source)[1] or 0) if source else 0
    apart = {*names_with(run, "own", "method"), *(("steps",) if trunk else ())}
    shared = {setting: value for setting, value in config.by_name().items() if setting not in apart}
    return Begun(name, run.env, point, msgspec.to_builtins({"agent": name_of(config)} | shared))
