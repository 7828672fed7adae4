"""A run's metrics, read line by line: each kind of line with its schema, since a run's files may be anybody's."""

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from .durable import Damaged, open_regular
from .files import METRICS
from .metric import RETURN, Metric
from .progress import Count

LINE_BYTES = 16_000_000  # at most, of a line of metrics
FINAL_SHARE = 0.1  # of a run's steps, at its end, whose scheduled evaluations make the final score
SCHEDULED, BEFORE, AFTER = "scheduled", "before event", "after event"  # occasions of evaluations
PHASE = "phase begins"  # the occasion of one that no schedule asks for, where no event is either
MOST_PHASES = 1_000

Text = Annotated[str, Meta(max_length=1_000)]
FloatArray = NDArray[np.float64]
Number = float | None  # metrics are strict JSON, where what is no number is null


class Line(Struct, frozen=True):
    """What every line has; `steps` are in the unit of the run."""

    kind: Text
    steps: Count
    updates: Count = 0


class TrainLine(Line, frozen=True):
    seconds: float = 0.0
    steps_per_second: Number = None
    updates_per_second: Number = None


class EpisodeLine(Line, frozen=True, kw_only=True):
    value: Number  # of the metric


class EvaluationLine(Line, frozen=True, kw_only=True):
    value: Number  # of the metric
    values: tuple[Number, ...] = ()  # that it is the mean of, such as the episodes' returns
    occasion: Text = SCHEDULED
    by_phase: Annotated[tuple[Number, ...], Meta(max_length=MOST_PHASES)] = ()  # the metric on what each phase brought
    also: dict[str, Number] = {}  # the metric on other examples, by its name there (`Metric.elsewhere`)


class MatrixLine(Struct, frozen=True):
    """What an event did to one matrix."""

    squared_frobenius_error: Number
    deviation_before: Number
    deviation_after: Number


class NetworkLine(Struct, frozen=True):
    name: Text
    matrices: tuple[MatrixLine, ...]


class EventLine(Line, frozen=True, kw_only=True):
    method: Text
    seconds: float = 0.0
    networks: tuple[NetworkLine, ...] = ()
    cause: Text = "schedule"


class MeasuresLine(Line, frozen=True, kw_only=True):
    measures: dict[str, Any]  # by network/measure, and by network/measure/layer


class Divergence(Line, frozen=True, kw_only=True):
    """The last line of a run that ended because what it computed was no number any more."""

    quantity: Text  # such as critic_loss
    value: Text  # nan, inf or -inf

    @property
    def said(self) -> str:
        """Where and in what, such as "at step 12,000 (critic_loss is nan)"."""
        return f"at step {self.steps:,} ({self.quantity} is {self.value})"


KINDS: dict[str, type[Line]] = {
    "train": TrainLine, "episode": EpisodeLine, "evaluation": EvaluationLine, "event": EventLine,
    "measures": MeasuresLine, "diverged": Divergence,
}  # fmt: skip
AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True)
class Reader:
    """Reads lines of metrics: what steps are counted in, and what the run is judged by, its config says."""

    progress: str = "environment_steps"
    metric: Metric = RETURN

    def typed(self, line: Mapping[str, Any]) -> Line | None:
        """A line as one of its kind; None where it is not what a run writes."""
        kind = KINDS.get(line.get("kind", ""), Line) if isinstance(line.get("kind"), str) else Line
        fields = {**line, "steps": line.get(self.progress)}
        if kind in (EpisodeLine, EvaluationLine):
            fields |= {"value": line.get(self.metric.name, ""), "values": line.get(self.metric.plural, ())}
            fields["also"] = {name: line[name] for name in self.metric.elsewhere if name in line}
        elif kind is MeasuresLine:
            fields["measures"] = {name: value for name, value in line.items() if "/" in name}
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError:
            return None

    def of(self, run: Path) -> Iterator[tuple[int, Line | None]]:
        """Every line of a run with its number; None in place of one that cannot be read, as one cut short by a kill."""
        for number, line in lines_of(run / METRICS):
            yield number, None if line is None else self.typed(line)

    def newest(self, run: Path, size: int) -> list[Line]:
        """The whole lines among the last bytes, without what a full disk has left of one."""
        lines = (_parsed(line) for line in end_of(run / METRICS, size) if line.endswith(b"\n"))
        return [typed for line in lines if line is not None and (typed := self.typed(line))]


@dataclass
class Metrics:
    """Everything that a run's metrics say."""

    lines: list[Line] = field(default_factory=list)
    reached: int = 0  # steps
    updates: int = 0

    def of(self, kind: type[AnyLine]) -> list[AnyLine]:
        return [line for line in self.lines if isinstance(line, kind)]


def read_metrics(run: Path, reader: Reader) -> Metrics:
    """Every line of a run's metrics. Only the last may be cut short, by a kill; others are refused."""
    found, damaged = Metrics(), 0
    for number, value in lines_of(run / METRICS):
        if damaged:
            raise ValueError(f"{run / METRICS}, line {damaged} is no line of metrics")
        line = None if value is None else reader.typed(value)
        if value is None or line is None:
            damaged = number
            continue
        found.reached, found.updates = line.steps, line.updates
        if not isinstance(line, EpisodeLine):
            found.lines.append(line)
    return found


@dataclass(frozen=True)
class Rhythm:
    """At which steps a run is evaluated by its schedule, and from which on its evaluations are its own."""

    every: int = 1  # --eval-every
    unit: int = 1  # steps from one boundary to the next: a decision of all environments
    last_phase: int = 0  # the step at which the last phase of data begins; 0 where there are no phases
    branch: int = -1  # the step at which it was branched off; what was evaluated there is its trunk's, or an event's

    def is_due(self, step: int) -> bool:
        """Whether a multiple of --eval-every lies between the boundary before and this one."""
        return step // self.every > (step - self.unit) // self.every


def scheduled(evaluations: Iterable[tuple[int, float, str]], rhythm: Rhythm) -> dict[int, float]:
    """The scheduled evaluations of a run, of a branch its own alone: one value for each step.

    `evaluations` are steps, values and occasions, in order. What is evaluated besides because an event happens does not
    count: a run with events would be looked at when it is worst more often than one without. Where an event falls on a
    scheduled evaluation, or into the decision before it, the value just before the event is the one that counts: what
    the updates since the event before have brought the run to.
    """
    found: dict[int, float] = {}
    before: tuple[int, float] | None = None
    for step, value, occasion in evaluations:
        if step <= rhythm.branch:
            continue
        if occasion == BEFORE:
            before = step, value
            if rhythm.is_due(step):
                found.setdefault(step, value)
        elif occasion == SCHEDULED:
            spoiled = before is not None and step - before[0] <= rhythm.unit
            found.setdefault(step, before[1] if before is not None and spoiled else value)
    return found


def points(
    evaluations: Iterable[tuple[int, float, str]], rhythm: Rhythm, jumps: Collection[int]
) -> tuple[FloatArray, FloatArray]:
    """Steps and values of a run's curve; two at one step of `jumps`, before and after an event, are a jump.

    A look before an event without one after it is no point of its own: others have none there. The scheduled evaluation
    that it was made for has its value, as in the final score (`scheduled`).
    """
    evaluations = list(evaluations)
    counted, found, extra = scheduled(evaluations, rhythm), list[tuple[int, float]](), -math.inf
    for step, value, occasion in evaluations:
        if occasion == BEFORE and step not in jumps:
            extra = step
            continue
        spoiled = occasion == SCHEDULED and step - extra <= rhythm.unit
        found.append((step, counted.get(step, value) if spoiled else value))
    steps, values = np.array([point for point in found if math.isfinite(point[1])], dtype=float).reshape(-1, 2).T
    return steps, values


def own_part(steps: FloatArray, values: FloatArray, start: float) -> tuple[FloatArray, FloatArray]:
    """The points from a step on: of a branch where it begins, with what the event there left; else 0."""
    later = steps > start
    first = float(np.interp(start, steps, values))  # at a jump, the point after it
    return np.append(float(start), steps[later]), np.append(first, values[later])


def area_under(steps: FloatArray, values: FloatArray) -> float:
    """Under the line through the points, divided by its length: the mean value over the steps. Jumps are two points."""
    length = steps[-1] - steps[0]
    if length == 0:
        return float(values[-1])
    return float(np.sum(np.diff(steps) * (values[1:] + values[:-1]) / 2) / length)


def final_score(
    evaluations: Iterable[tuple[int, float | None, str]], rhythm: Rhythm | None = None
) -> tuple[float, int] | None:
    """The mean of the scheduled evaluations in the last tenth of the steps, and how many these are; None without any.

    Where data come in phases it is the last tenth of the last phase, which has a learning rate and data of its own.

    `evaluations` are steps, values and occasions, in order. Those without a value, such as those in which no episode
    ended, are left out.
    """
    known = [(step, float("nan") if value is None else value, occasion) for step, value, occasion in evaluations]
    if not known:
        return None
    last = max(step for step, *_ in known)
    rhythm = rhythm or Rhythm()
    begins = rhythm.last_phase if rhythm.last_phase < last else 0
    since = last - FINAL_SHARE * (last - begins)
    late = [value for step, value in scheduled(known, rhythm).items() if step >= since and math.isfinite(value)]
    return (sum(late) / len(late), len(late)) if late else None


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Every line of a file of metrics with its number, as it stands; None in place of one that cannot be read."""
    if not path.exists():
        return
    with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number, whole = number + 1, line.endswith(b"\n")
            yield number, _parsed(line) if whole else None
            while line and not line.endswith(b"\n"):  # the rest of one that is too long to be a line of metrics
                line = file.readline(LINE_BYTES)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of metrics, as they stand."""
    return [line for _, line in lines_of(path) if line is not None]


def end_of(path: Path, size: int) -> tuple[bytes, ...]:
    """The lines among the last bytes of a file, without the rest of one before them; none where it cannot be read."""
    try:
        with open_regular(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            lines = file.read(size).splitlines(keepends=True)
    except (OSError, Damaged):
        return ()
    return tuple(lines[1:] if length > size else lines)
