"""The part on the costs of FIRE: of a call of `fire_`, and of a run's event."""

import copy
from functools import partial
from typing import cast

from fire_rl import fire
from fire_rl.fire.published import SAC as PUBLISHED

from ..timing import seconds
from . import subjects
from .part import Figures, Rows, Setting


def projections(setting: Setting, rows: Rows) -> None:
    """Add rows for SAC's actor and critic with each solver: an event as a run pays for it, and `fire_` alone."""
    for solver in fire.SOLVERS:
        rows.add(f"an event of fire, {solver}", partial(event, setting, cast(fire.Solver, solver)))
    for solver in fire.SOLVERS:
        rows.add(f"fire_, {solver}", partial(projection, setting, cast(fire.Solver, solver)))


def event(setting: Setting, solver: fire.Solver) -> Figures:
    """Return the milliseconds of the first event and of the best later one: projections, new optimizers, the target."""
    agent = subjects.sac(setting.place, setting.quick).make(setting.place)
    method = fire.parse_method(f"fire:solver={solver}", PUBLISHED)
    manager = fire.PlasticityManager(agent.plastic(), method, fire.Never())
    taken = [
        seconds(partial(manager.act, fire.Position(number, number)), setting.place)
        for number in range(2 if setting.quick else 4)
    ]
    return {"ms, first": 1e3 * taken[0], "ms": 1e3 * min(taken[1:])}


def projection(setting: Setting, solver: fire.Solver) -> Figures:
    """Return the milliseconds of the first event and of the best later one with its report, and the deviation left."""
    agent = subjects.sac(setting.place, setting.quick).make(setting.place)
    first, best, alone = 0.0, float("inf"), float("inf")
    for number in range(2 if setting.quick else 4):
        modules = [copy.deepcopy(network.module) for network in agent.networks]
        reports: list[fire.FireReport] = []
        taken = seconds(lambda: reports.extend(fire.fire_(one, solver=solver) for one in modules), setting.place)  # noqa: B023
        matrices = [matrix for report in reports for matrix in report.matrices]
        if number == 0:
            first = taken
        else:
            best, alone = min(best, taken), min(alone, sum(matrix.seconds for matrix in matrices))
    return {
        "ms, first": 1e3 * first,
        "ms": 1e3 * best,
        "of that projections": 1e3 * alone,
        "worst DfI": max(matrix.deviation_after for matrix in matrices),
        "null directions": sum(matrix.null_directions for matrix in matrices),
    }
