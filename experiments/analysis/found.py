"""Finds the runs below given folders, and which of them are trunks."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fire_rl.training.folder import runs_below

from .planned import is_planned_trunk
from .records import Run, read_run


@dataclass(frozen=True)
class Found:
    """Runs to compare, and the trunks they were branched from."""

    runs: tuple[Run, ...]
    trunks: tuple[Run, ...]


def find_runs(paths: Iterable[Path]) -> Found:
    """Return the runs at or below each path, with the trunks separate.

    A trunk is a run from which another run here branches, or that compare.py made to branch from. A trunk that went on
    as far as its branches also counts as the branch on which nothing was done, unless there is such a branch.
    """
    runs = [read_run(folder) for folder in runs_below(paths)]
    branches = [run for run in runs if run.branch is not None]
    points = {run.branch.trunk: run.branch for run in branches if run.branch is not None}
    trunks = [run for run in runs if run.folder in points or is_planned_trunk(run.folder, run.env, run.seed)]
    compared = [run for run in runs if run not in trunks]
    for trunk in trunks:
        own = [run for run in branches if run.branch == points.get(trunk.folder)]
        if own and trunk.steps >= max(run.steps for run in own) and trunk.method not in {run.method for run in own}:
            compared.append(read_run(trunk.folder, points[trunk.folder]))
    return Found(tuple(compared), tuple(trunks))
