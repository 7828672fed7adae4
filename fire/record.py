"""The record of a manager's events, which does not grow with them: the newest ones, and what outlives the rest.

A run writes every event down as it happens. What the next event needs is kept besides: how many there were, where each
method acted last, and which of them changed a network's structure, for who loads its tensors.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, overload

from .entries import entry, read
from .event import Event
from .interventions import INTERVENTIONS, Intervention
from .network import Network
from .schedule import Position
from .spelling import parse_intervention

KEPT = 1_000  # newest events, the newest alone with its singular values
MOST_CHANGES = 250  # of one network's structure, loaded; with 300 injections its heads are too deep for Python to run


@dataclass(frozen=True)
class Change:
    """A network that has another structure since an event."""

    method: str
    network: str


class Record(Sequence[Event]):
    """The newest events, oldest first; `total` counts all. `latest` is where a method, by its spelling, acted last."""

    def __init__(self) -> None:
        self.total = 0
        self.latest: dict[str, Position] = {}
        self.changes: list[Change] = []
        self._newest: list[Event] = []

    def __len__(self) -> int:
        return len(self._newest)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._newest[index]

    def append(self, event: Event) -> None:
        if self._newest:
            reports = [replace(report, singular_values={}) for report in self._newest[-1].networks]
            self._newest[-1] = replace(self._newest[-1], networks=tuple(reports))
        self._newest.append(event)
        del self._newest[:-KEPT]
        self.total += 1
        self.latest[event.method] = event.position
        self.changes += [Change(event.method, name) for name in event.restructured]

    def state_dict(self) -> dict[str, Any]:
        """Strict JSON of what outlives the events."""
        return {
            "event_count": self.total,
            "latest": {method: asdict(position) for method, position in self.latest.items()},
            "structure": [asdict(change) for change in self.changes],
        }

    @classmethod
    def from_state(cls, state: object, restructures: Callable[[str], bool]) -> "Record":
        """What `state_dict` has made, with the newest events where they were saved too; ValueError for anything else.

        The state of earlier versions is all events. Those of a method that `restructures` are its changes.
        """
        record, restructures = cls(), cache(restructures)
        if not (isinstance(state, Mapping) and "event_count" in state):
            for event in map(Event.from_json, entry(state, "events", list)):
                names = tuple(report.name for report in event.networks)
                record.append(replace(event, restructured=names) if restructures(event.method) else event)
        else:
            record.total = entry(state, "event_count", int)
            latest, changes = entry(state, "latest", dict), entry(state, "structure", list)
            record.latest = {method: read(Position, entry(latest, method, dict)) for method in latest}
            record.changes = [read(Change, change) for change in changes]
            if "events" in state:
                record._newest = [Event.from_json(event) for event in entry(state, "events", list)[-KEPT:]]
        if max(Counter(change.network for change in record.changes).values(), default=0) > MOST_CHANGES:
            raise ValueError(f"the record has more than {MOST_CHANGES} changes of one network's structure")
        return record


def restructures(method: Intervention) -> bool:
    return type(method).restructure is not Intervention.restructure


def built_in(spelling: str) -> Intervention:
    """The method of a record. No file may name code that is then imported."""
    if spelling.partition(":")[0] not in INTERVENTIONS:
        raise ValueError(f"the record names method {spelling!r}, which is neither built in nor this run's own")
    return parse_intervention(spelling)


def built_in_restructures(spelling: str) -> bool:
    return spelling.partition(":")[0] in INTERVENTIONS and restructures(built_in(spelling))


def change_again(
    networks: Mapping[str, Network], changes: Sequence[Change], method_of: Callable[[str], Intervention]
) -> None:
    """The recorded changes of structure, in their order; where one is not possible, none is made."""
    steps: list[tuple[Intervention, Network]] = []
    for change in changes:
        method = method_of(change.method)
        if not restructures(method):
            raise ValueError(f"the record says that {change.method!r} changed a structure, which it does not do")
        if change.network not in networks:
            raise ValueError(f"the record names network {change.network!r}; there are {', '.join(networks)}")
        method.check(networks[change.network])
        steps.append((method, networks[change.network]))
    for method, network in steps:
        method.restructure(network)


def restore_structure(networks: Sequence[Network], state: Mapping[str, Any]) -> None:
    """The structure that a manager's saved state records, for who loads a run's tensors but not its method.

    A change by a method of one's own is refused, and in states of earlier versions, which do not tell changes from
    other events, passed over: no file may name code that is then imported.
    """
    record = Record.from_state(state, built_in_restructures)
    change_again({network.name: network for network in networks}, record.changes, built_in)
