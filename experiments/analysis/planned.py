"""What compare.py left beside its runs: which there were to be (comparison.json), and how some failed (logs/)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.beginning import folder_name
from training.files import read_json

from .records import Run, failure_of


def is_planned_trunk(folder: Path, env: str, seed: int) -> bool:
    """Whether a comparison made the run to branch from it."""
    plan = _plan(folder.parent)
    return bool(plan) and plan["fixed"].get("branch_at") is not None and folder.name == _name(env, "trunk", seed)


def notes_on_missing(runs: Iterable[Run], trunks: Iterable[Run]) -> tuple[str, ...]:
    """Runs that were asked for beside these and have not begun, and what failed, in sentences."""
    listed = [*runs, *trunks]
    notes = []
    for parent in dict.fromkeys(run.folder.parent for run in listed):
        plan = _plan(parent)
        for env in plan.get("envs", ()):
            for method in plan["methods"]:
                missing = [
                    seed for seed in plan["seeds"] if not (parent / _name(env, method, seed) / "config.json").is_file()
                ]
                failures = {seed: failure_of(parent / _name(env, method, seed)) for seed in missing}
                if missing:
                    seeds = ", ".join(f"{seed} (failed: {why})" if why else str(seed) for seed, why in failures.items())
                    word = "seed" if len(missing) == 1 else "seeds"
                    notes.append(f"Asked for, but not begun: {method} in {env}, {word} {seeds}.")
    failed = dict.fromkeys((run.folder.name, run.failure) for run in listed if run.failure)
    return (*notes, *(f"{name} failed ({why}): compare.py --retry runs it again." for name, why in failed))


def _name(env: str, method: str, seed: int) -> str:
    return folder_name(f"{env}-{method}-seed{seed}")


def _plan(parent: Path) -> dict[str, Any]:
    path = parent / "comparison.json"
    plan = read_json(path) if path.is_file() else {}
    if plan and not {"fixed", "envs", "methods", "seeds"} <= set(plan):
        raise ValueError(f"{path} is not what compare.py writes: it has to have fixed, envs, methods and seeds")
    return dict(plan)
