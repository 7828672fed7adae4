"""The plasticity manager: which networks, which method, when; and the record of what each event did."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from .interventions import INTERVENTIONS, Intervention
from .matrices import take_inventory
from .measures import singular_values
from .network import Network
from .report import MatrixReport, Snapshot, clock, table
from .schedule import Position, Schedule
from .spelling import parse_intervention, spell


@dataclass(frozen=True)
class NetworkReport:
    """What an event did to one network. Singular values (before, after) are for histograms and not stored."""

    name: str
    matrices: tuple[MatrixReport, ...]
    seconds: float
    singular_values: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Event:
    """One event of a run. Print it, or store it with `to_json`."""

    position: Position
    method: str
    networks: tuple[NetworkReport, ...]
    seconds: float

    def __str__(self) -> str:
        where = f"{self.position.updates:,} updates, {self.position.environment_steps:,} environment steps"
        tables = [f"{report.name}\n{table(report.matrices)}" for report in self.networks]
        return "\n".join([f"{self.method} after {where} ({self.seconds:.2f} s)", *tables])

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: what is not finite becomes null."""
        networks = [
            {
                "name": report.name,
                "matrices": [_to_strict(asdict(matrix)) for matrix in report.matrices],
                "seconds": report.seconds,
            }
            for report in self.networks
        ]
        return {"position": asdict(self.position), "method": self.method, "networks": networks, "seconds": self.seconds}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Event":
        networks = [
            NetworkReport(report["name"], tuple(map(_from_strict, report["matrices"])), report["seconds"])
            for report in record["networks"]
        ]
        return cls(Position(**record["position"]), record["method"], tuple(networks), record["seconds"])


class PlasticityManager:
    """Applies one method to some networks when its schedule says so, and keeps the events."""

    def __init__(self, networks: Sequence[Network], intervention: Intervention, schedule: Schedule) -> None:
        self.networks = {network.name: network for network in networks}
        if len(self.networks) < len(networks):
            raise ValueError(f"two networks have one name: {', '.join(network.name for network in networks)}")
        for network in networks:
            intervention.check(network)
        self.intervention = intervention
        self.schedule = schedule
        self.acts_every_step = intervention.acts_every_step
        self.has_penalty = intervention.has_penalty
        self.events: list[Event] = []

    def due(self, before: Position, after: Position) -> bool:
        return self.schedule.crossed(before, after)

    def updates_until_event(self, position: Position) -> int | None:
        """How many updates may be done before the next event; None: as many as one likes."""
        update = self.schedule.next_update(position)
        return None if update is None else update - position.updates

    def act(self, position: Position) -> Event:
        """Apply the method to every network now, and record it; where one is not ready, none is touched."""
        for network in self.networks.values():
            try:
                self.intervention.ready(network)
            except ValueError as error:
                raise ValueError(f"network {network.name!r}: {error}") from error
        reports = tuple(self._act_on(network) for network in self.networks.values())
        event = Event(position, spell(self.intervention), reports, sum(report.seconds for report in reports))
        self.events.append(event)
        return event

    @torch.no_grad()
    def _act_on(self, network: Network) -> NetworkReport:
        before = {matrix.name: Snapshot.of(matrix) for matrix in take_inventory(network.module).matrices}
        probe = next(network.module.parameters())
        started = clock(probe)
        self.intervention.restructure(network)
        self.intervention.act(network)
        seconds = clock(probe) - started
        kept = [matrix for matrix in take_inventory(network.module).matrices if matrix.name in before]
        values = {matrix.name: (before[matrix.name].singular_values, singular_values(matrix)) for matrix in kept}
        rows = tuple(before[matrix.name].compare(matrix, values[matrix.name][1]) for matrix in kept)
        return NetworkReport(network.name, rows, seconds, values)

    def after_step(self, network_name: str) -> None:
        if self.acts_every_step:
            self.intervention.after_step(self.networks[network_name])

    def penalty(self, network_name: str) -> Tensor | None:
        return self.intervention.penalty(self.networks[network_name]) if self.has_penalty else None

    def state_dict(self) -> dict[str, Any]:
        return {"events": [event.to_json() for event in self.events]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the events so far, before tensors are loaded: structure that they changed is changed again."""
        self.events = [Event.from_json(record) for record in state["events"]]
        for event in self.events:
            for report in event.networks:
                self._recorded(event.method).restructure(self.networks[report.name])

    def _recorded(self, spelling: str) -> Intervention:
        """An event's method: this run's or a built-in one. No file may name code that is then imported."""
        if spelling == spell(self.intervention):
            return self.intervention
        if spelling.partition(":")[0] not in INTERVENTIONS:
            raise ValueError(f"the record names method {spelling!r}, which is neither built in nor this run's own")
        return parse_intervention(spelling)


def restore_structure(networks: Sequence[Network], state: Mapping[str, Any]) -> None:
    """The structure that a manager's saved state records, for who loads a run's tensors but not its method.

    Methods of one's own are passed over: no file may name code that is then imported.
    """
    named = {network.name: network for network in networks}
    for event in map(Event.from_json, state["events"]):
        if event.method.partition(":")[0] in INTERVENTIONS:
            for report in event.networks:
                parse_intervention(event.method).restructure(named[report.name])


def _to_strict(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _from_strict(row: Mapping[str, Any]) -> MatrixReport:
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in row.items()}
    return MatrixReport(**values)
