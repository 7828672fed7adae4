"""comparison.json: what the runs of a folder have in common, over what they differ, and which were asked for so far."""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from fire_rl.training.beginning import folder_name
from fire_rl.training.files import read_json

KEPT = "comparison.json"
MOST_RUNS = 10_000  # of a comparison
MOST_PLACES = 1_000  # of the axes of a comparison, together

Names: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MOST_RUNS)]


class Asked(Struct, frozen=True):
    """What a comparison notes in its folder."""

    fixed: dict[str, Any]  # settings that all runs have; of an axis added later, the value of the runs before
    envs: Names = ()
    methods: Names = ()
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MOST_RUNS)] = ()
    command: tuple[str, ...] = ()
    axes: dict[str, Names] = {}  # settings that runs differ in, with their values as they are written
    following: Names = ()  # settings that are computed from those

    @property
    def home(self) -> dict[str, str]:
        """The value of an axis that runs had before it was one: their names carry none."""
        return {name: value_text(self.fixed[name]) for name in self.axes if name in self.fixed}

    @property
    def places(self) -> tuple[str, ...]:
        """What names of runs carry of the axes, of every combination of their values."""
        if math.prod(map(len, self.axes.values())) > MOST_PLACES:
            raise ValueError(f"{KEPT} has axes with more than {MOST_PLACES:,} combinations of values")
        combined = product(*self.axes.values())
        return tuple(place_text(dict(zip(self.axes, values, strict=True)), self.home) for values in combined)


def value_text(value: Any) -> str:
    """One spelling for each value of a setting: 4 for 4.0 too, and 0.0001 for 1e-4."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def setting_words(name: str) -> str:
    """A setting as people call it: run.replay_ratio is the replay ratio."""
    return name.rpartition(".")[2].replace("_", " ")


def place_text(values: Mapping[str, str], home: Mapping[str, str]) -> str:
    """Values of the axes as a part of a run's name: `replay-ratio=4`; nothing of those that runs had before."""
    named = {name: value for name, value in values.items() if home.get(name) != value}
    return "-".join(f"{name.replace('_', '-')}={value}" for name, value in named.items())


def run_name(env: str, method: str, seed: int, place: str = "") -> str:
    """The folder of a run of a comparison, in the comparison's own."""
    return folder_name("-".join([env, method, *([place] if place else []), f"seed{seed}"]))


def read_kept(folder: Path) -> Asked | None:
    """None where no comparison was made in the folder; Damaged, in one line, where the file is anything else."""
    path = folder / KEPT
    return read_json(path, Asked) if path.exists() else None
