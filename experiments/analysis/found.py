"""Finds the runs below given folders, which of them are trunks, and which runs compare.py planned but are missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from fire_rl.place import called
from fire_rl.training.beginning import folder_name
from fire_rl.training.folder import runs_below
from fire_rl.training.learners import read_config

from ..failure import read_failure
from ..kept import KEPT, TRUNK, KeptPlan, read_kept, run_name
from .records import Run, read_run

MOST = 100_000  # planned runs


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
    trunks = [run for run in runs if run.folder in points or is_planned_trunk(run)]
    compared = [run for run in runs if run not in trunks]
    for trunk in trunks:
        own = [run for run in branches if run.branch == points.get(trunk.folder)]
        if own and trunk.steps >= max(run.steps for run in own) and trunk.method not in {run.method for run in own}:
            compared.append(read_run(trunk.folder, points[trunk.folder]))
    return Found(tuple(compared), tuple(trunks))


def is_planned_trunk(run: Run) -> bool:
    """Return whether compare.py planned this run as a trunk: by its name, and the plan or else its tags."""
    name, plan = run.folder.name, read_kept(run.folder.parent)
    if plan and plan.fixed.get("branch_at") is not None:
        return any(name == run_name(run.env, TRUNK, run.seed, place) for place in plan.places)
    named = name.startswith(folder_name(f"{run.env}-{TRUNK}-")) and name.endswith(f"-seed{run.seed}")
    return named and TRUNK in read_config(run.folder).run.track_tags


def notes_on_missing(runs: Iterable[Run], trunks: Iterable[Run]) -> tuple[str, ...]:
    """Return sentences about planned runs that have not begun, runs that failed, and trunks that diverged."""
    listed = [*runs, *trunks]
    diverged = {trunk.folder.name: trunk for trunk in trunks if trunk.diverged}
    notes = [
        f"{name} diverged {trunk.diverged.said}: no method can branch from it, so its seed is missing for all methods."
        for name, trunk in diverged.items()
        if trunk.diverged and is_planned_trunk(trunk)
    ]
    for parent in dict.fromkeys(run.folder.parent for run in listed):
        for env, method, place, missing in _missing(parent, read_kept(parent) or KeptPlan({})):
            found = {seed: read_failure(parent / run_name(env, method, seed, place)) for seed in missing}
            seeds = ", ".join(f"{seed} (failed: {why.reason})" if why else str(seed) for seed, why in found.items())
            word = "seed" if len(missing) == 1 else "seeds"
            where = f"{env}, {place}" if place else env
            notes.append(f"Planned, but not begun: {method} in {where}, {word} {seeds}.")
    failed = dict.fromkeys((run.folder.name, run.failure) for run in listed if run.failure)
    return (*notes, *(f"{name} failed ({why}): {called('compare')} --retry runs it again." for name, why in failed))


def _missing(parent: Path, plan: KeptPlan) -> Iterator[tuple[str, str, str, list[int]]]:
    """Yield environment, method, axis values and seeds of the planned runs that have not begun."""
    places = plan.places
    if (count := len(plan.envs) * len(plan.methods) * len(plan.seeds) * len(places)) > MOST:
        raise ValueError(f"{parent / KEPT} plans {count:,} runs; allowed are {MOST:,}")
    for env, method, place in product(plan.envs, plan.methods, places):
        folders = {seed: parent / run_name(env, method, seed, place) for seed in plan.seeds}
        if missing := [seed for seed, folder in folders.items() if not _is_there(folder)]:
            yield env, method, place, missing


def _is_there(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file()
    except OSError:  # the name is too long, so compare.py cannot have made such a folder
        return False
