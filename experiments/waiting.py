"""Finds a planned branch that still has to begin from a trunk, or to finish."""

from pathlib import Path

from fire_rl.training.folder import is_run
from fire_rl.training.learners import read_config
from fire_rl.training.slim import is_over

from .kept import TRUNK, place_text, read_kept, run_name


def waiting_branch(trunk: Path) -> str | None:
    """Return the name of a planned branch of this trunk that has no result yet; None if there is none."""
    plan = read_kept(trunk.parent)
    if plan is None or plan.fixed.get("branch_at") is None:
        return None
    config = read_config(trunk)
    env, seed, later = config.run.env, config.run.seed, config.names_with("later")
    places = plan.combinations
    for place in places:
        # Values that take effect after the branch point share the trunk of the first of them, unless it has its own.
        alike = (one for one in places if all(one[name] == place[name] for name in place if name not in later))
        names = [run_name(env, TRUNK, seed, place_text(one, plan.home)) for one in (place, next(alike))]
        own = names[0] if is_run(trunk.parent / names[0]) else names[1]
        for method in plan.methods if own == trunk.name else ():
            branch = run_name(env, method, seed, place_text(place, plan.home))
            if not _has_result(trunk.parent / branch):
                return branch
    return None


def _has_result(run: Path) -> bool:
    return is_run(run) and is_over(run)
