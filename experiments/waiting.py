"""Finds a planned branch that still has to begin from a trunk, or to finish."""

from pathlib import Path

from fire_rl.training.folder import is_run
from fire_rl.training.learners import read_config
from fire_rl.training.slim import is_over

from .analysis.found import TRUNK
from .kept import read_kept, run_name


def waiting_branch(trunk: Path) -> str | None:
    """Return the name of a planned branch of this trunk that has no result yet; None if there is none.

    Values of an axis that takes effect after the branch point share a trunk: they have none of their own.
    """
    plan = read_kept(trunk.parent)
    if plan is None or plan.fixed.get("branch_at") is None:
        return None
    run, places = read_config(trunk).run, plan.places
    trunks = {place: trunk.parent / run_name(run.env, TRUNK, run.seed, place) for place in places}
    if trunk.name not in {each.name for each in trunks.values()}:
        return None
    own = [place for place in places if trunks[place].name == trunk.name or not is_run(trunks[place])]
    names = (run_name(run.env, method, run.seed, place) for place in own for method in plan.methods)
    return next((name for name in names if not _has_result(trunk.parent / name)), None)


def _has_result(run: Path) -> bool:
    return is_run(run) and is_over(run)
