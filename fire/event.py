"""What a method did to each network at an event, matrix by matrix: to be printed, and stored as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from .aliases import ReportAliases
from .entries import entry, read
from .report import MatrixReport, table
from .schedule import Position


@dataclass(frozen=True)
class NetworkReport(ReportAliases):
    """What an event did to one network. Singular values (before, after) are for histograms and not stored."""

    name: str
    matrices: tuple[MatrixReport, ...]
    seconds: float
    outcome: Mapping[str, float] = field(default_factory=dict)  # what the method itself says it did
    singular_values: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was left as it was, what is to be done; not stored
    reset: tuple[str, ...] = field(default=(), compare=False)  # matrices that got initial values beside; not stored

    def __str__(self) -> str:
        return "\n".join([self.name, table(self.matrices), *([self.said()] if self.outcome else []), *self.notes])

    def said(self) -> str:
        """What the method itself says it did, in a line."""
        return ", ".join(f"{key}: {value:g}" for key, value in self.outcome.items())


@dataclass(frozen=True)
class Event:
    """One event of a run. Print it, or store it with `to_json`.

    `restructured` names the networks whose structure has changed, and `unit` says what the position's progress counts.
    Neither is stored here: the manager's state says the first, and whoever makes the manager the second.
    """

    position: Position
    method: str
    networks: tuple[NetworkReport, ...]
    seconds: float
    restructured: tuple[str, ...] = field(default=(), compare=False, repr=False)
    unit: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        progress = f"{self.position.progress:,}"
        progress = f"{progress} {self.unit}" if self.unit else f"progress {progress}"
        head = f"{self.method} after {self.position.updates:,} updates, {progress} ({self.seconds:.2f} s)"
        return "\n".join([head, *map(str, self.networks)])

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: what is not finite becomes null."""
        networks = [
            {
                "name": report.name,
                "matrices": [finite(asdict(matrix)) for matrix in report.matrices],
                "seconds": report.seconds,
                "figures": finite(report.outcome),
            }
            for report in self.networks
        ]
        position = self.position.to_json()
        return {"position": position, "method": self.method, "networks": networks, "seconds": self.seconds}

    @classmethod
    def from_json(cls, record: object, unit: str = "") -> "Event":
        """What `to_json` has made; ValueError where the record is anything else."""
        networks = tuple(_network_report(report) for report in entry(record, "networks", list))
        position = Position.from_json(entry(record, "position", dict))
        return cls(position, entry(record, "method", str), networks, entry(record, "seconds", float), unit=unit)


def _network_report(record: Any) -> NetworkReport:
    name, seconds = entry(record, "name", str), entry(record, "seconds", float)
    matrices = tuple(read(MatrixReport, matrix) for matrix in entry(record, "matrices", list))
    outcome = entry(record, "figures", dict) if "figures" in record else {}  # records of earlier versions have none
    return NetworkReport(name, matrices, seconds, {key: entry(outcome, key, float) for key in outcome})


def numbers(outcome: Mapping[str, Any]) -> dict[str, float]:
    """Python's own numbers, which can be stored, in place of numpy's."""
    return {key: value if isinstance(value, int) else float(value) for key, value in outcome.items()}


def finite(value: Any) -> Any:
    """Strict JSON: a number that is none, of a network that diverged, becomes null."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
