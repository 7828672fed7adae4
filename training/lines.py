"""Read a run's metrics line by line. Each kind of line has a schema, because a run's files are not trusted."""

import math
import os
from collections import deque
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

LINE_BYTES = 16_000_000  # the longest line of metrics that is read
FINAL_SHARE = 0.1  # the last share of a run's steps, whose scheduled evaluations make the final score
SCHEDULED, BEFORE, AFTER = "scheduled", "before event", "after event"  # occasions of evaluations
PHASE = "phase begins"  # the occasion of an evaluation at a phase's beginning, if it is not scheduled and has no event
MOST_PHASES = 1_000

Text = Annotated[str, Meta(max_length=1_000)]
FloatArray = NDArray[np.float64]
Number = float | None  # metrics are strict JSON, in which null stands for NaN and infinity


class Line(Struct, frozen=True):
    """The common part of all lines; `steps` are in the unit of the run."""

    kind: Text
    steps: Count
    updates: Count = 0


class TrainLine(Line, frozen=True):
    """Training metrics since the line of training metrics before."""

    seconds: float = 0.0
    steps_per_second: Number = None
    updates_per_second: Number = None


class EpisodeLine(Line, frozen=True, kw_only=True):
    """An episode of training that ended."""

    value: Number  # the metric's value


class EvaluationLine(Line, frozen=True, kw_only=True):
    """An evaluation."""

    value: Number  # the metric's value
    values: tuple[Number, ...] = ()  # the values whose mean it is, such as the episodes' returns
    occasion: Text = SCHEDULED
    by_phase: Annotated[tuple[Number, ...], Meta(max_length=MOST_PHASES)] = ()  # on the data that each phase added
    also: dict[str, Number] = {}  # the metric on other examples, by its name there (`Metric.elsewhere`)


class MatrixLine(Struct, frozen=True):
    """The effect of an event on one matrix."""

    squared_frobenius_error: Number
    deviation_before: Number
    deviation_after: Number


class NetworkLine(Struct, frozen=True):
    """The effect of an event on one network."""

    name: Text
    matrices: tuple[MatrixLine, ...]
    figures: dict[str, Any] = {}  # the method's own numbers


class EventLine(Line, frozen=True, kw_only=True):
    """An event of the run's method."""

    method: Text
    seconds: float = 0.0
    networks: tuple[NetworkLine, ...] = ()
    cause: Text = "schedule"


class MeasuresLine(Line, frozen=True, kw_only=True):
    """Plasticity measures of the networks."""

    measures: dict[str, Any]  # the keys are network/measure and network/measure/layer


class Divergence(Line, frozen=True, kw_only=True):
    """The last line of a run that ended because a value was not finite."""

    quantity: Text  # such as critic_loss
    value: Text  # nan, inf or -inf

    @property
    def said(self) -> str:
        """The step and the quantity in words, such as "at step 12,000 (critic_loss is nan)"."""
        return f"at step {self.steps:,} ({self.quantity} is {self.value})"


KINDS: dict[str, type[Line]] = {
    "train": TrainLine, "episode": EpisodeLine, "evaluation": EvaluationLine, "event": EventLine,
    "measures": MeasuresLine, "diverged": Divergence,
}  # fmt: skip
AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True)
class Reader:
    """Reads lines of metrics. The unit of steps and the metric come from the run's config."""

    progress: str = "environment_steps"
    metric: Metric = RETURN

    def typed(self, line: Mapping[str, Any]) -> Line | None:
        """Return a line as a value of its kind, or None if a run would not write it."""
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
        """Yield all lines of a run with their numbers, and None for one that cannot be read, such as one cut short."""
        for number, line in lines_of(run / METRICS):
            yield number, None if line is None else self.typed(line)

    def last(self, run: Path) -> Line | None:
        """Return the last line of a run that can be read, or None."""
        return next(iter(deque((line for _, line in self.of(run) if line), maxlen=1)), None)

    def newest(self, run: Path, size: int) -> list[Line]:
        """Return the complete lines among the last `size` bytes; a last line cut short by a full disk is left out."""
        lines = (_parsed(line) for line in end_of(run / METRICS, size) if line.endswith(b"\n"))
        return [typed for line in lines if line is not None and (typed := self.typed(line))]


@dataclass
class Metrics:
    """The lines of a run's metrics, without those of training episodes, and the last position."""

    lines: list[Line] = field(default_factory=list)
    reached: int = 0  # steps
    updates: int = 0

    def of(self, kind: type[AnyLine]) -> list[AnyLine]:
        """Return all lines of one kind."""
        return [line for line in self.lines if isinstance(line, kind)]


def read_metrics(run: Path, reader: Reader) -> Metrics:
    """Read a run's metrics. Only the last line may be cut short, by a killed process; raise ValueError for others."""
    found, damaged = Metrics(), 0
    for number, value in lines_of(run / METRICS):
        if damaged:
            raise ValueError(f"{run / METRICS}, line {damaged} is not a line of metrics")
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
    """The steps of a run's scheduled evaluations, and the step of its branch point."""

    every: int = 1  # --eval-every
    unit: int = 1  # steps from one boundary to the next: one decision of all environments
    last_phase: int = 0  # the step at which the last phase of data begins; 0 if there are no phases
    branch: int = -1  # the branch point; evaluations up to this step belong to the trunk, or to the event there

    def is_due(self, step: int) -> bool:
        """Whether a multiple of --eval-every lies after the previous boundary and not after this one."""
        return step // self.every > (step - self.unit) // self.every


class Scheduled:
    """The scheduled evaluations of a run, without those of a branch's trunk: one value for each step.

    The additional evaluations around events do not count; otherwise a run with events would be evaluated more often
    than others at its worst moments. If an event falls on a scheduled evaluation, or into the decision before it, the
    value just before the event counts, which is the result of the updates since the previous event.
    """

    def __init__(self, rhythm: Rhythm) -> None:
        self.rhythm = rhythm
        self.values: dict[int, float] = {}  # by step
        self._before: tuple[int, float] | None = None  # step and value of the evaluation before the newest event

    def add(self, step: int, value: float, occasion: str) -> bool:
        """Take the run's next evaluation; return whether its step has a value now and had none before."""
        if step <= self.rhythm.branch or occasion not in (BEFORE, SCHEDULED):
            return False
        if occasion == BEFORE:
            self._before = step, value
        if step in self.values or not (occasion == SCHEDULED or self.rhythm.is_due(step)):
            return False
        spoiled = self._before is not None and step - self._before[0] <= self.rhythm.unit
        self.values[step] = self._before[1] if self._before is not None and spoiled else value
        return True


def scheduled(evaluations: Iterable[tuple[int, float, str]], rhythm: Rhythm) -> dict[int, float]:
    """Return the scheduled evaluations by step; `evaluations` are steps, values and occasions, in order."""
    found = Scheduled(rhythm)
    for step, value, occasion in evaluations:
        found.add(step, value, occasion)
    return found.values


def points(
    evaluations: Iterable[tuple[int, float, str]], rhythm: Rhythm, jumps: Collection[int]
) -> tuple[FloatArray, FloatArray]:
    """Return the steps and values of a run's curve; at a step in `jumps` it has two, before and after the event.

    An evaluation before an event without one after it is not a point, because other runs have none there. The scheduled
    evaluation for which it was made gets its value, as in the final score (`scheduled`).
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
    """Return the points from a step on, with the value after an event there: a branch's own part of its curve."""
    later = steps > start
    first = float(np.interp(start, steps, values))  # at a jump, the point after it
    return np.append(float(start), steps[later]), np.append(first, values[later])


def area_under(steps: FloatArray, values: FloatArray) -> float:
    """Return the area under the line through the points, divided by its length, which is the mean over the steps."""
    length = steps[-1] - steps[0]
    if length == 0:
        return float(values[-1])
    return float(np.sum(np.diff(steps) * (values[1:] + values[:-1]) / 2) / length)


def final_score(
    evaluations: Iterable[tuple[int, float | None, str]], rhythm: Rhythm | None = None
) -> tuple[float, int] | None:
    """Return the mean of the scheduled evaluations in the last tenth of the steps and their number; None without any.

    If data come in phases, it is the last tenth of the last phase, which has its own data and learning rate.

    `evaluations` are steps, values and occasions, in order. Evaluations without a value, such as those in which no
    episode ended, are left out.
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
    """Yield all lines of a file of metrics with their numbers as JSON objects, and None for one that cannot be read."""
    if not path.exists():
        return
    with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number, whole = number + 1, line.endswith(b"\n")
            yield number, _parsed(line) if whole else None
            while line and not line.endswith(b"\n"):  # skip the rest of a line that is too long
                line = file.readline(LINE_BYTES)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the readable lines of a file of metrics as JSON objects."""
    return [line for _, line in lines_of(path) if line is not None]


def end_of(path: Path, size: int) -> tuple[bytes, ...]:
    """Return the lines that begin within the last `size` bytes of a file; none if the file cannot be read."""
    try:
        with open_regular(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            lines = file.read(size).splitlines(keepends=True)
    except (OSError, Damaged):
        return ()
    return tuple(lines[1:] if length > size else lines)
