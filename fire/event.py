"""The record of an event: what a method did to each network, matrix by matrix; printed, and kept as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from .entries import entry, read
from .report import MatrixReport, table
from .schedule import Position


@dataclass(frozen=True)
class NetworkReport:
    """What an event did to one network. Singular values (before, after) are for histograms and not stored."""

    name: str
    matrices: tuple[MatrixReport, ...]
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)  # what the method itself says it did
    singular_values: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def said(self) -> str:
        """The method's own figures, in a line."""
        return ", ".join(f"{key}: {value:g}" for key, value in self.figures.items())


@dataclass(frozen=True)
class Event:
    """One event of a run. Print it, or store it with `to_json`.

    `restructured` names the networks that have another structure since; the manager's state says so, not the record.
    """

    position: Position
    method: str
    networks: tuple[NetworkReport, ...]
    seconds: float
    restructured: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        where = f"{self.position.updates:,} updates, {self.position.environment_steps:,} environment steps"
        tables = [f"{report.name}\n{table(report.matrices)}" for report in self.networks]
        tables = [
            f"{text}\n{report.said()}" if report.figures else text
            for text, report in zip(tables, self.networks, strict=True)
        ]
        return "\n".join([f"{self.method} after {where} ({self.seconds:.2f} s)", *tables])

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: what is not finite becomes null."""
        networks = [
            {
                "name": report.name,
                "matrices": [finite(asdict(matrix)) for matrix in report.matrices],
                "seconds": report.seconds,
                "figures": finite(report.figures),
            }
            for report in self.networks
        ]
        return {"position": asdict(self.position), "method": self.method, "networks": networks, "seconds": self.seconds}

    @classmethod
    def from_json(cls, record: object) -> "Event":
        """What `to_json` has made; ValueError where the record is anything else."""
        networks = tuple(_network_report(report) for report in entry(record, "networks", list))
        position = read(Position, entry(record, "position", dict))
        return cls(position, entry(record, "method", str), networks, entry(record, "seconds", float))


def _network_report(record: Any) -> NetworkReport:
    name, seconds = entry(record, "name", str), entry(record, "seconds", float)
    matrices = tuple(read(MatrixReport, matrix) for matrix in entry(record, "matrices", list))
    figures = entry(record, "figures", dict) if "figures" in record else {}  # records of earlier versions have none
    return NetworkReport(name, matrices, seconds, {key: entry(figures, key, float) for key in figures})


def finite(value: Any) -> Any:
    """Strict JSON: a number that is none, of a network that diverged, becomes null."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
