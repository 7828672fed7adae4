"""The record of an event: what a method did to each network, matrix by matrix. It can be printed and stored as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from .aliases import renamed
from .record_fields import entry, read
from .report import MatrixReport, table
from .schedule import Position

SHOWN = {"weights put back": "reset weights"}  # numbers whose names in records are not the words used now


@renamed(figures="outcome")
@dataclass(frozen=True)
class NetworkReport:
    """What an event did to one network. Singular values (before, after) are for histograms and are not stored."""

    name: str
    matrices: tuple[MatrixReport, ...]
    seconds: float
    outcome: Mapping[str, float] = field(default_factory=dict)  # the numbers that the method's `act` returned
    singular_values: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was left unchanged, and advice; not stored
    reset: tuple[str, ...] = field(default=(), compare=False)  # matrices that were set to initial values; not stored
    changed: bool = field(default=True, compare=False)  # whether a parameter is not as it was; not stored

    def __str__(self) -> str:
        return "\n".join([self.name, table(self.matrices), *([self.said()] if self.outcome else []), *self.notes])

    def said(self) -> str:
        """Return the method's own account of what it did, in one line."""
        return ", ".join(f"{SHOWN.get(key, key)}: {value:g}" for key, value in self.outcome.items())


@dataclass(frozen=True)
class Event:
    """One event of a run. Print it, or store it with `to_json`.

    `restructured` names the networks whose structure has changed, and `unit` says what the position's progress counts.
    `to_json` stores neither: the manager's state holds the first, and the manager's caller gives the second.
    """

    position: Position
    method: str
    networks: tuple[NetworkReport, ...]
    seconds: float
    restructured: tuple[str, ...] = field(default=(), compare=False, repr=False)
    unit: str = field(default="", compare=False, repr=False)

    @property
    def changed_weights(self) -> bool:
        """Whether a parameter of a network is not as it was before the event."""
        return any(report.changed for report in self.networks)

    def __str__(self) -> str:
        progress = f"{self.position.progress:,}"
        progress = f"{progress} {self.unit}" if self.unit else f"progress {progress}"
        head = f"{self.method} after {self.position.updates:,} updates, {progress} ({self.seconds:.2f} s)"
        return "\n".join([head, *map(str, self.networks)])

    def to_json(self) -> dict[str, Any]:
        """Return the event as strict JSON; numbers that are not finite become null."""
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
        """Read a record made by `to_json`; raise ValueError for anything else."""
        networks = tuple(_network_report(report) for report in entry(record, "networks", list))
        position = Position.from_json(entry(record, "position", dict))
        return cls(position, entry(record, "method", str), networks, entry(record, "seconds", float), unit=unit)


def _network_report(record: Any) -> NetworkReport:
    name, seconds = entry(record, "name", str), entry(record, "seconds", float)
    matrices = tuple(read(MatrixReport, matrix) for matrix in entry(record, "matrices", list))
    outcome = entry(record, "figures", dict) if "figures" in record else {}  # records of earlier versions have none
    return NetworkReport(name, matrices, seconds, {key: entry(outcome, key, float) for key in outcome})


def finite(value: Any) -> Any:
    """Replace NaN and infinity (from a network that diverged) by None, since strict JSON has neither."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
