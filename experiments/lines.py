"""The lines of a run's metrics that are looked at here, each kind with its schema: they may be anybody's."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from replay.durable import Damaged, open_regular
from training.files import lines_of

Count = Annotated[int, Meta(ge=0, le=2**53)]
Text = Annotated[str, Meta(max_length=1_000)]
Number = float | None  # metrics are strict JSON, where what is no number is null


class Line(Struct, frozen=True):
    """What is looked at of every line."""

    kind: Text
    environment_steps: Count


class TrainLine(Line, frozen=True):
    updates: Count = 0
    seconds: float = 0.0
    steps_per_second: Number = None
    updates_per_second: Number = None


class EvaluationLine(Line, frozen=True):
    mean: Number = msgspec.field(name="return")
    occasion: Text = "scheduled"


class MatrixLine(Struct, frozen=True):
    """What an event did to one matrix."""

    squared_frobenius_error: Number
    deviation_before: Number
    deviation_after: Number


class NetworkLine(Struct, frozen=True):
    name: Text
    matrices: tuple[MatrixLine, ...]


class EventLine(Line, frozen=True):
    updates: Count
    method: Text
    seconds: float
    networks: tuple[NetworkLine, ...]
    cause: Text = "schedule"


class Divergence(Line, frozen=True):
    """The last line of a run that ended because what it computed was no number any more."""

    updates: Count
    quantity: Text  # such as critic_loss
    value: Text  # nan, inf or -inf

    @property
    def said(self) -> str:
        """Where and in what, such as "at step 12,000 (critic_loss is nan)"."""
        return f"at step {self.environment_steps:,} ({self.quantity} is {self.value})"


KINDS: dict[str, type[Line]] = {
    "train": TrainLine, "evaluation": EvaluationLine, "event": EventLine, "diverged": Divergence,
}  # fmt: skip

AnyLine = TypeVar("AnyLine", bound=Line)


def as_kind(line: dict[str, Any], kind: type[AnyLine]) -> AnyLine | None:
    """A line as one of this kind; None where it is not what the run writes."""
    try:
        return msgspec.convert(line, kind)
    except msgspec.ValidationError:
        return None


@dataclass
class Metrics:
    """What is used of a run's metrics."""

    lines: list[Line] = field(default_factory=list)  # of KINDS
    measures: list[dict[str, Any]] = field(default_factory=list)
    reached: int = 0
    updates: int = 0

    def of(self, kind: type[AnyLine]) -> list[AnyLine]:
        return [line for line in self.lines if isinstance(line, kind)]


def read_metrics(path: Path) -> Metrics:
    """Every line of a run's metrics; its last one may be cut short by a kill, any other that is none is refused."""
    found, damaged = Metrics(), 0
    for number, value in lines_of(path):
        if damaged:
            break
        line = as_kind(value, KINDS.get(value["kind"], Line)) if value is not None else None
        if value is None or line is None:
            damaged = number
            continue
        found.reached, found.updates = line.environment_steps, value["updates"]
        if line.kind in KINDS:
            found.lines.append(line)
        elif line.kind == "measures":
            found.measures.append(value)
    else:
        damaged = 0
    if damaged:
        raise ValueError(f"{path}, line {damaged} is no line of metrics")
    return found


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
