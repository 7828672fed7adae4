"""The plasticity manager: which networks, which method, when; it keeps a record of events and takes the measures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .event import Event, NetworkReport
from .interventions import Intervention
from .matrices import take_inventory
from .measures import measure
from .network import Network
from .record import Record, built_in, change_again, restructures
from .report import Snapshot, clock
from .schedule import Position, Schedule
from .spelling import spell
from .trigger import Trigger
from .units import Watch, hidden_layers

Losses: TypeAlias = Mapping[str, Callable[[], Tensor]]


class PlasticityManager:
    """Applies one method to some networks when its schedule or a trigger says so, and keeps the newest events.

    Regularizers act besides, at every gradient step. `seed` is that of the methods' own random streams.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        intervention: Intervention,
        schedule: Schedule,
        regularizers: Sequence[Intervention] = (),
        triggers: Sequence[Trigger] = (),
        seed: int = 0,
    ) -> None:
        self.networks = {network.name: network for network in networks}
        if len(self.networks) < len(networks):
            raise ValueError(f"two networks have one name: {', '.join(network.name for network in networks)}")
        self.intervention = intervention
        self.regularizers = tuple(regularizers)
        self.schedule = schedule
        self.triggers = tuple(triggers)
        self.seed = seed
        self.acts_every_step = any(method.acts_every_step for method in self._methods)
        self.has_penalty = any(method.has_penalty for method in self._methods)
        self.events = Record()
        self.references: dict[str, dict[str, Tensor]] = {}  # the weights that each network had after its last event
        for method in self._methods:
            for network in networks:
                method.check(network)
        for trigger in self.triggers:
            trigger.check(self.networks)
        kinds = [type(method) for method in self._methods]
        if twice := next((method for method in self._methods if kinds.count(type(method)) > 1), None):
            raise ValueError(f"{spell(twice).partition(':')[0]} is given twice")
        self._records: list[dict[str, Network]] = []
        self._watches: list[Watch] = []
        self._begin()

    @property
    def _methods(self) -> tuple[Intervention, ...]:
        return (self.intervention, *self.regularizers)

    def _begin(self) -> None:
        """A record of each network for each method: memory, random stream, and eyes where it asks for them."""
        streams = [record.generator for records in self._records for record in records.values()]
        if not streams:
            count = len(self._methods) * len(self.networks)
            streams = [torch.Generator().manual_seed(self.seed + number) for number in range(count)]
        self._records = [
            {name: replace(network, memory={}, generator=streams.pop(0)) for name, network in self.networks.items()}
            for _ in self._methods
        ]
        self.watch()
        for method, _, record in self._prefixed():
            method.begin(record)

    def watch(self) -> None:
        """Look at hidden units, for the methods that ask for it: from the beginning on, and again after `close`."""
        self.close()
        for method, records in zip(self._methods, self._records, strict=True):
            for name, record in records.items() if method.watches_units else ():
                layers = hidden_layers(record.module)
                self._watches.append(Watch(record.module, layers))
                records[name] = replace(record, layers=layers, activations=self._watches[-1])

    def close(self) -> None:
        """Leave no hooks on the networks: for who goes on without the manager, or copies a network."""
        for watch in self._watches:
            watch.close()
        self._watches = []

    @property
    def event_count(self) -> int:
        """Of all events so far, also of those that `events` does not hold any more."""
        return self.events.total

    def latest(self, method: str) -> Position | None:
        """Where a method, by its spelling, acted last."""
        return self.events.latest.get(method)

    def due(self, before: Position, after: Position) -> bool:
        return self.schedule.crossed(before, after)

    def triggered(self, measures: Mapping[str, float], position: Position) -> Trigger | None:
        """The trigger, if there is one, by which what `measure` has found makes an event due."""
        since = position.updates - max((last.updates for last in self.events.latest.values()), default=0)
        if self.events.latest and not since:  # one event is enough
            return None
        return next((trigger for trigger in self.triggers if trigger.met(measures, since)), None)

    def updates_until_event(self, position: Position) -> int | None:
        """How many updates may be done before the next event; None: as many as one likes."""
        update = self.schedule.next_update(position)
        return None if update is None else update - position.updates

    def act(self, position: Position, losses: Losses | None = None) -> Event:
        """Apply the method to every network now, and record it; where one is not ready, none is touched.

        `losses` are asked for by methods that look at activations or gradients: by network, a function that runs the
        module on examples and returns its training loss.
        """
        records = [replace(record, loss=(losses or {}).get(name)) for name, record in self._records[0].items()]
        for record in records:
            try:
                if self.intervention.needs_loss and record.loss is None:
                    raise ValueError(f"{spell(self.intervention)} looks at examples: give `act` the network's loss")
                self.intervention.ready(record)
            except ValueError as error:
                raise ValueError(f"network {record.name!r}: {error}") from error
        structure = self._structure()
        self.close()  # a network may be copied in parts
        reports = tuple(self._act_on(record) for record in records)
        now = self._structure()
        changed = tuple(name for name in now if now[name] != structure[name])
        event = Event(position, spell(self.intervention), reports, sum(report.seconds for report in reports), changed)
        self.events.append(event)
        for record in records:
            self.references[record.name] = {
                name: parameter.detach().clone() for name, parameter in record.module.named_parameters()
            }
        if changed:
            self._begin()  # what methods knew of the old structure is no use, as after loading a checkpoint of the new
        else:
            self.watch()
        return event

    def _structure(self) -> dict[str, list[Any]]:
        """By network, what a change of structure changes: kinds of modules, names and shapes of tensors."""
        return {
            name: [
                *((key, type(module)) for key, module in network.module.named_modules()),
                *((key, value.shape) for key, value in network.module.state_dict().items()),
            ]
            for name, network in self.networks.items()
        }

    @torch.no_grad()
    def _act_on(self, network: Network) -> NetworkReport:
        before = {matrix.name: Snapshot.of(matrix) for matrix in take_inventory(network.module).matrices}
        probe = next(network.module.parameters())
        started = clock(probe)
        self.intervention.restructure(network)
        figures = self.intervention.act(network) or {}
        seconds = clock(probe) - started
        kept = [matrix for matrix in take_inventory(network.module).matrices if matrix.name in before]
        values = {matrix.name: before[matrix.name].singular_values_now(matrix) for matrix in kept}
        rows = tuple(before[matrix.name].compare(matrix, values[matrix.name][1]) for matrix in kept)
        return NetworkReport(network.name, rows, seconds, dict(figures), values)

    def after_step(self, network_name: str) -> None:
        for method, records in zip(self._methods, self._records, strict=True):
            if method.acts_every_step:
                method.after_step(records[network_name])
            if isinstance(seen := records[network_name].activations, Watch):
                seen.forget()

    def penalty(self, network_name: str) -> Tensor | None:
        """What the methods add to the network's loss; None where they add nothing."""
        total = None
        for method, records in zip(self._methods, self._records, strict=True):
            term = method.penalty(records[network_name]) if method.has_penalty else None
            if term is not None:
                total = term if total is None else total + term
        return total

    def measure(self, losses: Losses, hessian: bool = False) -> dict[str, float]:
        """Measures of every network as `network/measure`, and what the methods say of it; changes nothing."""
        found: dict[str, float] = {}
        for name, network in self.networks.items():
            record = replace(network, loss=losses.get(name))
            values = measure(record, self.references.get(name), hessian)
            found |= {f"{name}/{key}": value for key, value in values.items()}
        return found | self.figures()

    def figures(self) -> dict[str, float]:
        """What the methods say has become of the networks so far, as `network/figure`."""
        return {
            f"{name}/{key}": float(value)
            for method, records in zip(self._methods, self._records, strict=True)
            for name, record in records.items()
            for key, value in method.figures(record).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """What is JSON of the state, without the events themselves; `tensors` is the rest."""
        return self.events.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the events so far, before tensors are loaded: structure that they changed is changed again.

        ValueError, with nothing changed, where the state is not one that was saved here. That of earlier versions is.
        """
        record = Record.from_state(state, lambda spelling: restructures(self._recorded(spelling)))
        self.close()
        change_again(self.networks, record.changes, self._recorded)
        self.events = record
        self._begin()

    def tensors(self) -> dict[str, Tensor]:
        """The state's tensors: methods' memories, random streams that have moved, the weights after the last event."""
        found: dict[str, Tensor] = {}
        for _, prefix, record in self._prefixed():
            found |= {f"{prefix}.memory.{key}": value.contiguous() for key, value in record.memory.items()}
            assert record.generator is not None
            stream = record.generator.get_state()
            if not torch.equal(stream, torch.Generator().manual_seed(record.generator.initial_seed()).get_state()):
                found[f"{prefix}.generator"] = stream
        for name, reference in self.references.items():
            found |= {f"reference.{name}.{key}": value.contiguous() for key, value in reference.items()}
        return found

    @torch.no_grad()
    def load_tensors(self, saved: Mapping[str, Tensor]) -> None:
        """Put them back, once the networks have theirs. A method that the saved run did not have begins here."""
        for method, prefix, record in self._prefixed():
            if not any(key.startswith(f"{prefix}.") for key in saved):
                assert record.generator is not None
                record.generator.manual_seed(record.generator.initial_seed())
                record.memory.clear()
                method.begin(record)  # now that the network has its weights
                continue
            for key, value in record.memory.items():
                value.copy_(saved[f"{prefix}.memory.{key}"])
            if f"{prefix}.generator" in saved:
                assert record.generator is not None
                record.generator.set_state(saved[f"{prefix}.generator"])
        self.references = {}
        for name, network in self.networks.items():
            parameters = dict(network.module.named_parameters())
            values = {key: saved[f"reference.{name}.{key}"] for key in parameters if f"reference.{name}.{key}" in saved}
            if values:  # laid out in memory as the parameters are, so that sums come out the same
                self.references[name] = {
                    key: torch.empty_like(parameters[key]).copy_(value) for key, value in values.items()
                }

    def _prefixed(self) -> Iterator[tuple[Intervention, str, Network]]:
        """Every method with each network's record, and the name that its state is saved by."""
        for method, records in zip(self._methods, self._records, strict=True):
            for name, record in records.items():
                yield method, f"method.{spell(method)}.{name}", record

    def _recorded(self, spelling: str) -> Intervention:
        """An event's method: this run's or a built-in one."""
        if spelling == spell(self.intervention):
            return self.intervention
        return built_in(spelling)
