"""What came of one run, as its metrics say."""

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
    """How a run ended, and its scores; those that only a whole run has are None for another."""

    folder: Path
    ending: Ending
    step: int  # that it came to, in its own unit: environment steps, or updates
    metric: Metric  # what the scores are values of, and which direction is better
    final: float | None = None  # mean of the scheduled evaluations in the last tenth, as in every report
    count: int = 0  # of the evaluations that it is the mean of
    best: float | None = None  # of the scheduled evaluations so far
    area: float | None = (
        None  # under the curve, divided by its length: the mean value over the run; a branch's own part
    )
    stopped: Literal["", "signal", "callback"] = ""  # who asked it to stop, with a checkpoint to go on from
    diverged: str = ""  # which quantity was no number any more
    by_phase: bool = False  # whether evaluations are phase by phase

    @property
    def code(self) -> int:
        """The exit code of its script."""
        return CODES[self.ending]

    def summary(self) -> dict[str, float]:
        """For trackers: the scores that there are."""
        scores = {"final": self.final, "best": self.best, "area": self.area}
        return {f"{name} {self.metric.name}": value for name, value in scores.items() if value is not None}


def scores_of(
    evaluations: Sequence[EvaluationLine], rhythm: Rhythm, metric: Metric
) -> tuple[float | None, int, float | None, float | None]:
    """Final score with the number of evaluations in it, best value and area of a run that is over."""
    known = [(line.steps, np.nan if line.value is None else float(line.value), line.occasion) for line in evaluations]
    final, count = final_score(known, rhythm) or (None, 0)
    return final, count, best_of(evaluations, rhythm, metric), None if final is None else _area(known, rhythm)


def best_of(evaluations: Sequence[EvaluationLine], rhythm: Rhythm, metric: Metric) -> float | None:
    known = [(line.steps, line.value, line.occasion) for line in evaluations if line.value is not None]
    own = scheduled(known, rhythm).values()
    return metric.best(own) if own else None


def _area(known: Sequence[tuple[int, float, str]], rhythm: Rhythm) -> float:
    """As the report computes it."""
    steps, values = points(known, rhythm, {step for step, _, occasion in known if occasion == AFTER})
    return area_under(*own_part(steps, values, max(rhythm.branch, 0)))
