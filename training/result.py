"""The result of one run, computed from its metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .divergence import DIVERGED
from .lines import AFTER, EvaluationLine, Rhythm, area_under, final_score, own_part, points, scheduled
from .metric import Metric
from .stopping import STOPPED

Ending = Literal["finished", "stopped", "diverged", "not saved"]
CODES = {"finished": 0, "stopped": STOPPED, "diverged": DIVERGED, "not saved": 1}


@dataclass(frozen=True)
class Result:
    """How a run ended, and its scores. The final score and the area are None for a run that is not finished."""

    folder: Path
    ending: Ending
    step: int  # the last step, in the run's own unit: environment steps, or updates
    metric: Metric  # the metric of the scores
    final: float | None = None  # mean of the scheduled evaluations in the last tenth, as in every report
    count: int = 0  # the number of evaluations in this mean
    best: float | None = None  # the best of the scheduled evaluations so far
    # The area under the curve, divided by its length, which is the mean value over the run; without a branch's trunk.
    area: float | None = None
    stopped: Literal["", "signal", "callback"] = ""  # what stopped the run, with a checkpoint to continue from
    diverged: str = ""  # the quantity that was not finite
    by_phase: bool = False  # whether evaluations have a value for each phase

    @property
    def code(self) -> int:
        """The exit code of its script."""
        return CODES[self.ending]

    def summary(self) -> dict[str, float]:
        """Return the scores that exist by name, for trackers."""
        scores = {"final": self.final, "best": self.best, "area": self.area}
        return {f"{name} {self.metric.name}": value for name, value in scores.items() if value is not None}


def scores_of(evaluations: Sequence[EvaluationLine], rhythm: Rhythm) -> tuple[float | None, int, float | None]:
    """Return final score, the number of evaluations in it, and area (as the report computes it) of a finished run."""
    known = [(line.steps, np.nan if line.value is None else float(line.value), line.occasion) for line in evaluations]
    final, count = final_score(known, rhythm) or (None, 0)
    if final is None:
        return None, 0, None
    steps, values = points(known, rhythm, {step for step, _, occasion in known if occasion == AFTER})
    return final, count, area_under(*own_part(steps, values, max(rhythm.branch, 0)))


def best_of(evaluations: Sequence[EvaluationLine], rhythm: Rhythm, metric: Metric) -> float | None:
    """Return the best of the scheduled evaluations, or None if there are none."""
    known = [(line.steps, line.value, line.occasion) for line in evaluations if line.value is not None]
    own = scheduled(known, rhythm).values()
    return metric.best(own) if own else None
