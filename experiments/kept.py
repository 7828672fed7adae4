"""The file comparison.json: the settings that a folder's runs share, those that differ, and the runs planned so far."""

import math
import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from fire_rl.training.beginning import folder_name
from fire_rl.training.files import read_json

TRUNK = "trunk"  # in a trunk's name, in place of a method, and among its tags
KEPT = "comparison.json"
MOST_RUNS = 10_000  # in a comparison
MOST_PLACES = 1_000  # combinations of the values of a comparison's axes

Names: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MOST_RUNS)]


class KeptPlan(Struct, frozen=True):
    """The contents of a comparison's comparison.json."""

    fixed: dict[str, Any]  # settings of all runs; for an axis added later, the value of the runs made before
    envs: Names = ()
    methods: Names = ()
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MOST_RUNS)] = ()
    command: tuple[str, ...] = ()
    axes: dict[str, Names] = {}  # settings in which runs differ, with their values as text
    following: Names = ()  # settings that are computed from the axes' values, and so differ too

    @property
    def home(self) -> dict[str, str]:
        """Values of settings that became axes after runs were made. These values are not part of a run's name."""
        return {name: value_text(self.fixed[name]) for name in self.axes if name in self.fixed}

    @property
    def combinations(self) -> tuple[dict[str, str], ...]:
        """Every combination of the axes' values; one without values if there are no axes."""
        if math.prod(map(len, self.axes.values())) > MOST_PLACES:
            raise ValueError(f"{KEPT} has axes with more than {MOST_PLACES:,} combinations of values")
        return tuple(dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values()))

    @property
    def places(self) -> tuple[str, ...]:
        """The part of a run's name that tells its place on the axes, for every combination of their values."""
        return tuple(place_text(values, self.home) for values in self.combinations)


def value_text(value: Any) -> str:
    """Return the one spelling of a setting's value: 4 also for 4.0, and 0.0001 also for 1e-4."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def setting_words(name: str) -> str:
    """Return a setting's name in words: "replay ratio" for run.replay_ratio."""
    return name.rpartition(".")[2].replace("_", " ")


def place_text(values: Mapping[str, str], home: Mapping[str, str]) -> str:
    """Return values of the axes as a part of a run's name, such as `replay-ratio=4`, leaving out values in `home`."""
    named = {name: value for name, value in values.items() if home.get(name) != value}
    return "-".join(f"{name.replace('_', '-')}={value}" for name, value in named.items())


def run_name(env: str, method: str, seed: int, place: str = "") -> str:
    """Return the name of a run's folder, which is inside the comparison's folder."""
    return folder_name("-".join([env, method, *([place] if place else []), f"seed{seed}"]))


def read_kept(folder: Path) -> KeptPlan | None:
    """Return the folder's comparison.json, or None if there is none. Raise Damaged if the file is not valid."""
    path = folder / KEPT
    return read_json(path, KeptPlan) if os.path.lexists(path) else None
