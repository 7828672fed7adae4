"""The record of a manager's events: the newest events, and of older ones only what is needed later.

A run writes every event to a file as it happens. Kept here are also the number of events, the position of each method's
last event, and which events changed a network's structure: they are repeated before a checkpoint's tensors are loaded.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, overload

from .event import Event
from .methods import METHODS, Method
from .network import Network
from .record_fields import entry, read
from .schedule import Position
from .spelling import parse_method

KEPT = 1_000  # newest events that are kept; only the last one keeps its singular values
MOST_CHANGES = 250  # of one network's structure in a loaded record; 300 injections exceed Python's recursion limit


@dataclass(frozen=True)
class Change:
    """One change of a network's structure by a method."""

    method: str
    network: str


class Record(Sequence[Event]):
    """The newest events, oldest first. `total` counts all; `latest` maps a method's spelling to its last position."""

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
        """Add an event; the one before loses its singular values."""
        if self._newest:
            reports = [replace(report, singular_values={}) for report in self._newest[-1].networks]
            self._newest[-1] = replace(self._newest[-1], networks=tuple(reports))
        self._newest.append(event)
        del self._newest[:-KEPT]
        self.total += 1
        self.latest[event.method] = event.position
        self.changes += [Change(event.method, name) for name in event.restructured]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the events themselves, as strict JSON."""
        return {
            "event_count": self.total,
            "latest": {method: position.to_json() for method, position in self.latest.items()},
            "structure": [asdict(change) for change in self.changes],
        }

    @classmethod
    def from_state(cls, state: object, restructures: Callable[[str], bool], unit: str = "") -> "Record":
        """Read a state made by `state_dict`, with the newest events if it has them; raise ValueError for anything else.

        Earlier versions saved all events and nothing else; there, the changes of structure are the events of methods
        for which `restructures` is true. `unit` is the unit of the events' progress.
        """
        record, restructures = cls(), cache(restructures)
        if not (isinstance(state, Mapping) and "event_count" in state):
            for event in (Event.from_json(saved, unit) for saved in entry(state, "events", list)):
                names = tuple(report.name for report in event.networks)
                record.append(replace(event, restructured=names) if restructures(event.method) else event)
        else:
            record.total = entry(state, "event_count", int)
            latest, changes = entry(state, "latest", dict), entry(state, "structure", list)
            record.latest = {method: Position.from_json(entry(latest, method, dict)) for method in latest}
            record.changes = [read(Change, change) for change in changes]
            if "events" in state:
                record._newest = [Event.from_json(saved, unit) for saved in entry(state, "events", list)[-KEPT:]]
        if max(Counter(change.network for change in record.changes).values(), default=0) > MOST_CHANGES:
            raise ValueError(f"the record has more than {MOST_CHANGES} changes of one network's structure")
        return record


def restructures(method: Method) -> bool:
    """Whether the method changes a network's structure."""
    return type(method).restructure is not Method.restructure


def built_in(spelling: str) -> Method:
    """Return a recorded method if it is built in; otherwise raise ValueError: a file must not cause an import."""
    if spelling.partition(":")[0] not in METHODS:
        raise ValueError(f"the record names method {spelling!r}, which is neither built in nor this run's own")
    return parse_method(spelling)


def built_in_restructures(spelling: str) -> bool:
    """Whether this is a built-in method that changes a network's structure."""
    return spelling.partition(":")[0] in METHODS and restructures(built_in(spelling))


def change_again(
    networks: Mapping[str, Network], changes: Sequence[Change], method_of: Callable[[str], Method]
) -> None:
    """Repeat the recorded changes of structure in their order; if one is impossible, raise ValueError and make none."""
    steps: list[tuple[Method, Network]] = []
    for change in changes:
        method = method_of(change.method)
        if not restructures(method):
            raise ValueError(f"the record says that {change.method!r} changed a structure, but this method cannot")
        if change.network not in networks:
            raise ValueError(
                f"the record names network {change.network!r}, which is unknown; known are {', '.join(networks)}"
            )
        method.check(networks[change.network])
        steps.append((method, networks[change.network]))
    for method, network in steps:
        method.restructure(network)


def restore_structure(networks: Sequence[Network], state: Mapping[str, Any]) -> None:
    """Give networks the structure that a manager's saved state records, to load a run's tensors without its method.

    A change by a method that is not built in raises ValueError, since a file must not cause an import. In states of
    earlier versions, which do not distinguish changes from other events, events of such methods are ignored.
    """
    record = Record.from_state(state, built_in_restructures)
    change_again({network.name: network for network in networks}, record.changes, built_in)
