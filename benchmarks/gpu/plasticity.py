"""The part on the costs of FIRE's projections."""

import copy
from functools import partial
from typing import cast

from fire_rl import fire

from ..timing import seconds
from . import subjects
from .part import Figures, Rows, Setting


def projections(setting: Setting, rows: Rows) -> None:
    """Add a row for `fire_` on SAC's actor and critic with each solver."""
    for solver in fire.SOLVERS:
        rows.add(solver, partial(projection, setting, cast(fire.Solver, solver)))


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
