"""Results phase by phase of runs whose data comes in phases: the value at each phase's end, and forgetting.

A phase ends where the next one begins; its value is the one just before any event there. The last phase ends with the
run. Phases that a shortened run does not reach are left out.

Forgetting is that of Chaudhry et al. 2018, "Riemannian walk for incremental learning" (arXiv 1801.10112). For each
phase except the last, it is the best value on this phase at the ends of phases from its own on, minus the value at the
end of the run. It can be below 0 if later phases helped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fire_rl.training.lines import BEFORE
from fire_rl.training.metric import Metric

from .records import AFTER_DIVERGENCE, Array, EvaluationRecord, Run

LEAST_FOR_MEAN = 3  # fewest phases for a mean: with two, branches of one trunk differ only in the last


@dataclass(frozen=True, eq=False)
class RunPhases:
    """One run's results phase by phase; NaN if a value is not known."""

    ends: tuple[float, ...]  # the metric at the end of each phase
    mean: float | None  # of `ends`; None with two phases, or if a phase has no value
    forgetting: float | None  # mean over all phases but the last; None if phases have no test examples of their own


@dataclass(frozen=True, eq=False)
class PhaseMatrix:
    """A method's values on each phase's examples over the steps: the mean, lowest and highest of its runs."""

    steps: Array  # of evaluations that all runs have; at an event twice, before and after it
    before: tuple[bool, ...]  # whether the evaluation is the one just before an event
    mean: Array  # phases x evaluations
    low: Array
    high: Array
    n: int


def phases_of(run: Run) -> RunPhases | None:
    """Return a run's results phase by phase; None if its data has no phases."""
    ends = ends_of(run)
    if not ends:
        return None
    found = [evaluation_at_end(run, step) for step in ends]
    values = tuple(each.mean if each else np.nan for each in found)
    known = len(values) >= LEAST_FOR_MEAN and bool(np.isfinite(values).all())
    forgotten = _forgetting([each.by_phase if each else () for each in found], run.metric) if run.tested_apart else None
    return RunPhases(values, float(np.mean(values)) if known else None, forgotten)


def ends_of(run: Run) -> tuple[int, ...]:
    """Return the steps at which the run's phases end; empty if its data has no phases."""
    starts = [start for start in run.phase_starts if start < run.steps]
    return (*starts, run.steps) if run.phase_starts else ()


def evaluation_at_end(run: Run, end: int) -> EvaluationRecord | None:
    """Return the evaluation at the end of a phase, before any event there."""
    at = [each for each in run.evaluations if each.step == end]
    return next((each for each in at if each.occasion == BEFORE), at[0] if at else None)


def epoch_at(run: Run, step: float) -> tuple[int, float] | None:
    """Return the phase in which a step lies, and the number of epochs of it up to then; None if that is not known."""
    if not run.epoch_lengths or not 0 <= step <= run.steps:
        return None
    begun = [0, *(start for start in run.phase_starts if start < step)]
    phase = len(begun)
    return (phase, (step - begun[-1]) / run.epoch_lengths[phase - 1]) if phase <= len(run.epoch_lengths) else None


def _forgetting(ends: Sequence[Sequence[float]], metric: Metric) -> float | None:
    """Return the mean forgetting; `ends` holds, for the end of each phase, the values of all phases."""
    last = len(ends) - 1
    if last < 1 or min(map(len, ends)) <= last:
        return None
    values = metric.sign * np.array([each[: last + 1] for each in ends], dtype=float)  # ends x phases
    lost = [values[phase:last, phase].max() - values[last, phase] for phase in range(last)]
    return float(np.mean(lost)) if np.isfinite(lost).all() else None


def matrix_of(runs: Sequence[Run]) -> PhaseMatrix | None:
    """Return the values phase by phase at the evaluations that all runs have; None if there are none."""
    every = [columns for columns in map(_columns, runs) if columns]
    shared = sorted(set.intersection(*map(set, every))) if every else []
    if not shared:
        return None
    rows = max(len(columns[place]) for columns in every for place in shared)
    values = np.full((len(every), rows, len(shared)), np.nan)
    for one, columns in zip(values, every, strict=True):
        for index, place in enumerate(shared):
            one[: len(columns[place]), index] = columns[place]
    known = np.ma.masked_invalid(values)
    mean, low, high = (each.filled(np.nan) for each in (known.mean(axis=0), known.min(axis=0), known.max(axis=0)))
    steps = np.array([step for step, _ in shared], dtype=float)
    return PhaseMatrix(steps, tuple(not after for _, after in shared), mean, low, high, len(every))


def _columns(run: Run) -> dict[tuple[int, bool], tuple[float, ...]]:
    """Return a run's values phase by phase, by step and whether they are from after an event at this step.

    After a divergence there are no events; the values then count both as before and as after one.
    """
    known = [each for each in run.evaluations if each.by_phase]
    found = {(each.step, each.occasion != BEFORE): each.by_phase for each in known}
    return {(each.step, False): each.by_phase for each in known if each.occasion == AFTER_DIVERGENCE} | found
