"""comparison.json: what the runs of a folder have in common, and which were asked for so far."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from training.beginning import folder_name
from training.files import read_json

KEPT = "comparison.json"
MOST_RUNS = 10_000  # of a comparison

Names: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MOST_RUNS)]


class Asked(Struct, frozen=True):
    """What a comparison notes in its folder."""

    fixed: dict[str, Any]  # settings that all runs have
    envs: Names = ()
    methods: Names = ()
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MOST_RUNS)] = ()
    command: tuple[str, ...] = ()


def run_name(env: str, method: str, seed: int) -> str:
    """The folder of a run of a comparison, in the comparison's own."""
    return folder_name(f"{env}-{method}-seed{seed}")


def read_kept(folder: Path) -> Asked | None:
    """None where no comparison was made in the folder; Damaged, in one line, where the file is anything else."""
    path = folder / KEPT
    return read_json(path, Asked) if path.exists() else None
