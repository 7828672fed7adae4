"""Reads a run folder: settings, evaluations, events and measures; the run may still be in progress."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fire_rl.fire.methods import METHODS
from fire_rl.training.config import Settings
from fire_rl.training.described import Described, read_described
from fire_rl.training.durable import Damaged
from fire_rl.training.files import read_json
from fire_rl.training.learners import name_of, read_config
from fire_rl.training.lines import (
    Divergence,
    EvaluationLine,
    EventLine,
    MeasuresLine,
    NetworkLine,
    Number,
    Reader,
    Rhythm,
    TrainLine,
    read_metrics,
)
from fire_rl.training.metric import RETURN, Metric
from fire_rl.training.policy import split_run
from fire_rl.training.settings import DriverSettings, names_with

from ..failure import read_failure
from .own_time import NOTHING, own_part

Array = NDArray[np.float64]

MOST = 2**53  # steps of a run


@dataclass(frozen=True)
class Branch:
    """The trunk and the step from which a run was continued."""

    trunk: Path  # resolved if it can be found, else as config.json has it
    step: int

    def __str__(self) -> str:
        return f"{self.trunk}@{self.step}"


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation; `occasion` is "scheduled", "before event", "after event", "phase begins", or AFTER_DIVERGENCE."""

    step: int
    mean: float  # of the metric; NaN if it has no value
    occasion: str
    by_phase: tuple[float, ...] = ()  # on the examples of each phase; empty if the data has no phases
    also: Mapping[str, float] = field(default_factory=dict)  # on other examples, by their name in the metrics


AFTER_DIVERGENCE = "diverged"  # not an evaluation, but the value that a diverged run counts with instead


@dataclass(frozen=True)
class NetworkChange:
    """The changes that an event made to one network, as sums over its matrices."""

    name: str
    squared_frobenius_error: float
    deviation_before: float
    deviation_after: float
    error_unrepaired: float = math.nan  # of the outputs, in shares of their variance; NaN if nothing was repaired
    error_repaired: float = math.nan


@dataclass(frozen=True)
class EventRecord:
    """One event of a run."""

    step: int
    updates: int
    cause: str  # "schedule", or the trigger that fired
    method: str
    seconds: float
    networks: tuple[NetworkChange, ...]


@dataclass(frozen=True, eq=False)
class MeasureSeries:
    """One measure of a whole network over time; NaN if a value was not a number."""

    steps: Array
    values: Array


@dataclass(frozen=True, eq=False)
class Run:
    """The contents of one run folder."""

    folder: Path
    agent: str  # such as "sac"
    env: str
    method: str  # with its options and regularizers, such as "redo:tau=0.1+l2-init"
    seed: int
    steps: int  # planned steps
    reached: int  # step of its last complete line of metrics
    finished: bool  # whether its last planned evaluation is there
    diverged: Divergence | None  # where and in what it diverged, if it did
    branch: Branch | None
    evaluations: tuple[EvaluationRecord, ...]  # in order; those of a branch begin with its trunk's
    events: tuple[EventRecord, ...]
    measures: Mapping[tuple[str, str], MeasureSeries]  # by (network, measure), such as ("critic", "dormant")
    seconds: float  # of training so far; for a branch with those of its trunk
    own_seconds: float  # the same without those of the trunk; NaN if they are not known
    updates: int
    updates_per_second: float  # without the trunk, but with evaluations; NaN if not known
    replay_ratio: float | str | None  # None if it is not reinforcement learning
    settings: Mapping[str, Any] = field(repr=False)  # such as "run.steps"; equal in all runs of a fair comparison
    schedule: Mapping[str, Any] = field(repr=False)  # of events; equal in all runs of one method
    made_with: Mapping[str, str] = field(repr=False)  # versions, commit, processor, gpu, threads
    metric: Metric = RETURN
    unit: str = "environment steps"  # that steps are counted in
    rhythm: Rhythm = field(default_factory=Rhythm)  # of its scheduled evaluations
    midpoint: int | None = None  # step of the default event in a run without a trunk
    phase_starts: tuple[int, ...] = ()  # steps at which phases of data begin; the default events are there instead
    epoch_lengths: tuple[int, ...] = ()  # steps of an epoch in each phase, if known
    tested_apart: bool = False  # whether each phase has its own test examples, on which `by_phase` was evaluated
    usual_period: int | None = None  # default number of updates between events, for methods with periodic events
    failure: str | None = None  # why it failed, as its comparison recorded it, until it is retried

    @property
    def ended(self) -> bool:
        """Whether the run has a result: it finished or diverged."""
        return self.finished or self.diverged is not None


class _Named(Struct, frozen=True):
    """The settings that a trunk and its branches share."""

    seed: int
    env: str = ""
    data: str = ""  # the data set, for runs without an environment


class _Candidate(Struct, frozen=True):
    run: _Named


def read_run(folder: Path, branch: Branch | None = None) -> Run:
    """Read a run folder. With `branch`, the run is read as a branch that begins there; this is used for trunks."""
    folder = folder.resolve()
    config = read_config(folder)
    described = read_described(folder)
    settings = config.run
    _check(folder, settings)
    reader = Reader(described.progress, described.metric)
    metrics = read_metrics(folder, reader)
    branch = branch or _branch(folder, described.branch_from, settings)
    evaluations = tuple(
        EvaluationRecord(
            line.steps, _number(line.value), line.occasion, tuple(map(_number, line.by_phase)),
            {name: _number(value) for name, value in line.also.items()},
        )
        for line in metrics.of(EvaluationLine)
    )  # fmt: skip
    training = metrics.of(TrainLine)
    end = (training or [NOTHING])[-1]
    own, own_updates, start = end.seconds, end.updates, branch.step if branch else -1
    if branch:
        trunk = branch.trunk if _may_be_trunk(branch.trunk, settings) else None
        own, own_updates = own_part(training, branch.step, trunk, reader)
    method = METHODS.get(settings.reinit.partition(":")[0])
    diverged = metrics.lines[-1] if metrics.lines and isinstance(metrics.lines[-1], Divergence) else None
    return Run(
        folder=folder,
        agent=name_of(config),
        env=settings.env,
        method=settings.method,
        seed=settings.seed,
        steps=settings.steps,
        reached=metrics.reached,
        finished=bool(evaluations) and evaluations[-1].step >= settings.steps and diverged is None,
        diverged=diverged,
        branch=branch,
        evaluations=evaluations,
        events=tuple(_event(line) for line in metrics.of(EventLine)),
        measures=_measures(metrics.of(MeasuresLine)),
        seconds=end.seconds,
        own_seconds=own,
        updates=metrics.updates,
        updates_per_second=own_updates / own if own > 0 and own_updates else math.nan,
        replay_ratio=getattr(settings, "replay_ratio", None),
        settings=_flat(config.by_group(), names_with(settings, "method", "machine", "record")),
        schedule={name: getattr(settings, name) for name in names_with(settings, "timing")},
        made_with=_made_with(described, settings),
        metric=described.metric,
        unit=described.progress.replace("_", " "),
        rhythm=Rhythm(max(1, settings.eval_every), settings.reached(1), settings.last_phase, start),
        midpoint=settings.midpoint,
        phase_starts=settings.phase_starts,
        epoch_lengths=settings.epoch_lengths,
        tested_apart=settings.tested_apart,
        usual_period=settings.usual_period(method.usual_period if method else None),
        failure=failure.reason if (failure := read_failure(folder)) else None,
    )


def _check(folder: Path, settings: DriverSettings) -> None:
    """Raise ValueError if the settings allow no phases, which are computed from them; the others are only shown."""
    try:
        _ = settings.phase_starts
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error


def _branch(folder: Path, source: str | None, settings: DriverSettings) -> Branch | None:
    if source is None:
        return None
    path, step = split_run(source)
    try:
        trunk = next((place for place in _places(folder, path) if _may_be_trunk(place, settings)), path)
    except (OSError, RuntimeError, ValueError) as error:  # not a path, or links that point to each other
        raise ValueError(f"{folder} branches from {source[:200]!r}: {error}") from error
    if step is None:  # the trunk's newest checkpoint: it is where the method acted, or at the trunk's end
        first = settings.reinit_at[:1] or ((read_config(trunk).run.steps,) if trunk.is_absolute() else ())
        if not first:
            raise ValueError(f"{folder} branches from {source}, which names no step and no longer exists")
        step = first[0]
    if not 0 <= step <= MOST:
        raise ValueError(f"{folder} branches from {source[:200]}, but no run can have this step")
    return Branch(trunk, settings.reached(step))


def _places(folder: Path, path: Path) -> Iterator[Path]:
    """Yield the folders where a trunk may be.

    A path is relative to the folder in which the branch was started, and folders may have been moved since. The path
    from the current folder comes last, because another run may have this name there.
    """
    for parent in folder.parents:
        yield (parent / path).resolve()
    yield folder.parent / path.name
    yield path.resolve()


def _may_be_trunk(place: Path, settings: DriverSettings) -> bool:
    """Return whether a folder holds a run with the branch's seed and environment or data."""
    try:
        named = read_json(place / "config.json", _Candidate).run
    except Damaged:  # usually because there is no such file
        return False
    return (named.env or named.data, named.seed) == (settings.env, settings.seed)


def _event(line: EventLine) -> EventRecord:
    networks = tuple(map(_network, line.networks))
    return EventRecord(line.steps, line.updates, line.cause, line.method, line.seconds, networks)


def _network(network: NetworkLine) -> NetworkChange:
    figures = ("squared_frobenius_error", "deviation_before", "deviation_after")
    sums = (sum(_number(getattr(matrix, figure)) for matrix in network.matrices) for figure in figures)
    errors = (_number(network.figures.get(f"output error {when} repair")) for when in ("before", "after"))
    return NetworkChange(network.name, *sums, *errors)


def _measures(lines: Sequence[MeasuresLine]) -> dict[tuple[str, str], MeasureSeries]:
    """Return the measures of whole networks, whose names are `network/measure` and not `network/measure/layer`."""
    names = dict.fromkeys(
        name for line in lines for name, value in line.measures.items()
        if name.count("/") == 1 and (value is None or type(value) in (int, float))
    )  # fmt: skip
    steps = np.array([line.steps for line in lines], dtype=float)
    found = {}
    for name in names:
        network, _, measure = name.partition("/")
        found[network, measure] = MeasureSeries(steps, np.array([_number(line.measures.get(name)) for line in lines]))
    return found


def _flat(groups: Settings, left_out: Sequence[str]) -> dict[str, Any]:
    """Return every setting by a name such as `agent.gamma`, without the settings of the run that are left out."""
    flat = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {name: value for name, value in flat.items() if name not in {f"run.{each}" for each in left_out}}


def _made_with(described: Described, settings: DriverSettings) -> dict[str, str]:
    machine = {"commit": described.commit, "processor": described.processor, "gpu": described.gpu}
    values = described.versions | {name: value for name, value in machine.items() if value}
    return values | {"threads": str(settings.threads)}


def _number(value: Number) -> float:
    """Return a number; NaN for null, for values that are not numbers, and for numbers too large to draw."""
    return float(value) if type(value) in (int, float) and value is not None and abs(value) < 1e300 else math.nan
