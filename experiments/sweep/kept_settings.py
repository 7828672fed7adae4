"""Keeps the settings that a folder's runs share, and refuses a later comparison in the folder with other settings."""

import json
import os
import sys
from typing import Any

import msgspec

from fire_rl.training.files import write_json
from fire_rl.training.settings import flag, names_with

from ..kept import KEPT, KeptPlan, read_kept, value_text
from .axes import usual_settings
from .grid import TIMING, Grid, asked_for


def settled(grid: Grid) -> KeptPlan:
    """Return the settings that all runs of the grid share, with its environments, methods, seeds and axes."""
    each = [_settled_at(point) for point in grid.points]
    axes = {axis.setting: tuple(dict.fromkeys(p.place[axis.setting] for p in grid.points)) for axis in grid.axes}
    following = tuple(name for name in each[0] if name not in axes and any(one[name] != each[0][name] for one in each))
    fixed = {name: value for name, value in each[0].items() if name not in axes and name not in following}
    return KeptPlan(fixed, grid.envs, grid.methods, grid.seeds, axes=axes, following=following)


def _settled_at(grid: Grid) -> dict[str, Any]:
    config = asked_for(grid, grid.envs[0]).resolved()
    timing = {name.strip("-").replace("-", "_"): list(values) for name, values in grid.flags if name in TIMING}
    ours = {"agent": grid.agent, "branch_at": grid.branch_at, "threads": grid.threads}
    found = {name: value for name, value in config.by_name().items() if name not in names_with(config.run, "own")}
    return _as_read_back(found | timing | ours)


def _as_read_back(values: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(values)))


def check_kept(grid: Grid) -> None:
    """Raise ValueError if the folder holds runs with other settings, which could not be compared with the grid's."""
    if (grid.folder / "logs").is_symlink():
        raise ValueError(f"{grid.folder / 'logs'} is a symbolic link; a comparison's files must be in its own folder")
    if os.path.lexists(grid.folder / "logs") and not (grid.folder / "logs").is_dir():
        raise ValueError(f"{grid.folder / 'logs'} is not a folder; a comparison keeps the output of its runs there")
    before = read_kept(grid.folder)
    if before is None:
        return
    ours = settled(grid)
    free = {*before.axes, *before.following, *ours.axes, *ours.following}
    # Runs made by an older version, which lacked some settings, have the default values of these.
    kept = _as_read_back(usual_settings(grid.agent).by_name())
    kept = {name: kept.get(name) for name in ours.fixed} | before.fixed
    for name in [*ours.fixed, *kept]:
        then, now = kept.get(name), ours.fixed.get(name)
        if name not in free and then != now:
            may_be_one = name not in ("agent", "branch_at", "threads") and not isinstance(now, list)
            had, given = value_text(then), value_text(now)
            several = f", or {flag(name)} {had} {given} to compare both" if may_be_one else ""
            raise ValueError(
                f"{grid.folder} holds runs with {flag(name)} {had}, but {given} is given; give {had}, or another "
                f"--dir{several}"
            )


def keep(grid: Grid) -> None:
    """Write comparison.json: the settings that the folder's runs share, and all runs that were planned so far."""
    ours = settled(grid)
    before = read_kept(grid.folder) or KeptPlan(ours.fixed)
    envs, methods, seeds, following = (
        tuple(dict.fromkeys([*getattr(before, name), *getattr(ours, name)]))
        for name in ("envs", "methods", "seeds", "following")
    )
    home = {name: before.fixed[name] for name in ours.axes if name in before.fixed}
    axes = {}
    for name, values in ours.axes.items():
        had = [value_text(home[name])] if name in home else []
        axes[name] = tuple(dict.fromkeys([*before.axes.get(name, had), *values]))
    fixed = {name: value for name, value in ours.fixed.items() if name not in following} | home
    asked = KeptPlan(fixed, envs, methods, seeds, tuple(sys.argv), axes, following)
    write_json(grid.folder / KEPT, msgspec.to_builtins(asked))
