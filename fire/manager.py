"""The plasticity manager: which networks, which method, when. It keeps the record of events and takes the measures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor

from .activity import Watch
from .aliases import ManagerAliases, renamed
from .event import Event, NetworkReport, numbers
from .given import known_name, refuse_computed_losses, refuse_confused, refuse_confused_lists
from .measures import Run, measure
from .method_class import check_class
from .methods import Method
from .network import Loss, MethodNetwork, Network
from .record import Record, built_in, change_again, restructures
from .report import Snapshot, clock
from .schedule import Position, Schedule
from .soundness import refuse_foreign_targets, refuse_unsound
from .spelling import spell
from .streams import has_moved, restore_generator, stream_of
from .told import Told, refuse_idle_schedule
from .trial import Rehearsal, check, try_methods, warn_of
from .trigger import Trigger
from .units import hidden_layers

Losses: TypeAlias = Mapping[str, Loss]
Runs: TypeAlias = Mapping[str, Run]


class PlasticityManager(ManagerAliases):
    """Applies one method to some networks when its schedule or a trigger says so, and keeps the newest events.

    Regularizers act as well, at every gradient step. `seed` is that of the methods' own random streams. `unit` is
    what the progress of a position counts, for example environment steps; events are printed with it. A method that is
    not built in is tried now, on copies of the networks; `rehearsal` makes these, with losses for methods that need it.
    """

    @overload
    def __init__(
        self,
        networks: Sequence[Network],
        method: Method,
        schedule: Schedule,
        regularizers: Sequence[Method] = (),
        triggers: Sequence[Trigger] = (),
        seed: int = 0,
        unit: str = "",
        rehearsal: Rehearsal | None = None,
    ) -> None: ...
    @overload  # the old keyword: see aliases.py
    def __init__(
        self, networks: Sequence[Network], *, intervention: Method, schedule: Schedule, **more: Any
    ) -> None: ...
    @renamed(intervention="method")
    def __init__(
        self,
        networks: Sequence[Network],
        method: Method,
        schedule: Schedule,
        regularizers: Sequence[Method] = (),
        triggers: Sequence[Trigger] = (),
        seed: int = 0,
        unit: str = "",
        rehearsal: Rehearsal | None = None,
    ) -> None:
        refuse_confused(networks, method, schedule)
        refuse_confused_lists(regularizers, triggers)
        refuse_unsound(networks)
        self.networks = {network.name: network for network in networks}
        if len(self.networks) < len(networks):
            raise ValueError(f"two networks have one name: {', '.join(network.name for network in networks)}")
        self.method = method
        self.regularizers = tuple(regularizers)
        self.schedule = schedule
        self.triggers = tuple(triggers)
        self.seed = seed
        self.unit = unit
        self._methods = (method, *self.regularizers)
        refuse_idle_schedule(method, schedule)
        self._told = Told(self._methods)
        self.acts_every_step = any(one.acts_every_step for one in self._methods)
        self.has_penalty = any(one.has_penalty for one in self._methods)
        acting = [one for one in self._methods if one.acts_every_step or one.has_penalty]
        self.not_capturable = ", ".join(spell(one) for one in acting if not one.capturable)
        self.capturable = not self.not_capturable  # whether updates may be recorded as a CUDA graph
        self.events = Record()
        self.references: dict[str, dict[str, Tensor]] = {}  # the weights that each network had after its last event
        for one in self._methods:
            check_class(one)
            for network in networks:
                check(one, network)
        refuse_foreign_targets(networks)
        for trigger in self.triggers:
            trigger.check(self.networks)
        kinds = [type(one) for one in self._methods]
        if twice := next((one for one in self._methods if kinds.count(type(one)) > 1), None):
            raise ValueError(f"{spell(twice).partition(':')[0]} is given twice")
        self._given: list[tuple[Method, dict[str, MethodNetwork]]] = []  # each method and its networks
        self.notes = try_methods(self._methods, networks, rehearsal, seed)  # sentences on what is odd, and allowed
        if rehearsal is None:
            warn_of(self.notes)
        self._watches: list[Watch] = []
        self._begin()

    def _begin(self) -> None:
        """Give every method the networks with memories that are empty; random streams go on where they are."""
        streams = self.generators
        if not streams:
            pairs = [(method, network) for method in self._methods for network in self.networks.values()]
            streams = [stream_of(method, network, self.seed + number) for number, (method, network) in enumerate(pairs)]
        self._given = [
            (method, {name: MethodNetwork.of(each, generator=streams.pop(0)) for name, each in self.networks.items()})
            for method in self._methods
        ]
        self.watch()
        for method, _, network in self._prefixed():
            method.begin(network)

    def watch(self) -> None:
        """Look at hidden units, for the methods that ask for it: from the beginning on, and again after `close`."""
        self.close()
        for method, networks in self._given:
            for name, network in networks.items() if method.watches_units else ():
                layers = hidden_layers(network.module)
                self._watches.append(Watch(network.module, layers))
                networks[name] = replace(network, layers=layers, activations=self._watches[-1])

    def idle(self) -> list[str]:
        """A sentence for each method that acts at every step and counts what it does, and has done nothing so far."""
        said = []
        for method, networks in self._given:
            if not method.acts_every_step or not networks:
                continue
            counts = [
                (name, float(value)) for each in networks.values() for name, value in method.figures(each).items()
            ]
            if counts and not any(count for _, count in counts):
                names = ", ".join(dict.fromkeys(name for name, _ in counts))
                said.append(f"{spell(method)} has done nothing in this run: {names}: 0")
        return said

    def close(self) -> None:
        """Leave no hooks on the networks: for code that goes on without the manager, or copies a network."""
        for watch in self._watches:
            watch.close()
        self._watches = []

    @property
    def structure(self) -> object:
        """Another object once an event, or a checkpoint that was loaded, has changed what the networks consist of."""
        return self._given

    @property
    def generators(self) -> list[torch.Generator]:
        """The methods' random streams."""
        given = [network.generator for _, networks in self._given for network in networks.values()]
        return [generator for generator in given if generator is not None]

    @property
    def event_count(self) -> int:
        """How many events there were, including those that `events` no longer holds."""
        return self.events.total

    def latest(self, method: str) -> Position | None:
        """Where a method, by its spelling, acted last."""
        return self.events.latest.get(method)

    def due(self, before: Position, after: Position) -> bool:
        self._told.begin(before)
        self._told.require(after, tuple(self.networks))
        return self.schedule.crossed(before, after)

    def triggered(self, measures: Mapping[str, float], position: Position) -> Trigger | None:
        """The trigger, if there is one, by which what `measure` has found makes an event due."""
        since = position.updates - max((last.updates for last in self.events.latest.values()), default=0)
        if self.events.latest and not since:  # one event is enough
            return None
        return next((trigger for trigger in self.triggers if trigger.met(measures, since)), None)

    def updates_until_event(self, position: Position) -> int | None:
        """How many updates may be done before the next event; None: any number."""
        update = self.schedule.next_update(position)
        return None if update is None else update - position.updates

    def act(self, position: Position, losses: Losses | None = None) -> Event:
        """Apply the method to every network now, and record it; if one network is not ready, none is changed.

        Methods that look at activations or gradients need `losses`: for each network, by its name, a function that runs
        the module on examples and returns its training loss.
        """
        refuse_computed_losses(losses or {})
        self._told.begin(position)
        self._told.require(position, tuple(self.networks), patience=1)
        networks = self._ready(losses or {})
        structure = self._structure()
        self.close()  # a network may be copied in parts
        reports = tuple(self._act_on(network) for network in networks)
        self._told.versions = None  # of weights that an event has changed
        now = self._structure()
        changed = tuple(name for name in now if now[name] != structure[name])
        event = Event(position, spell(self.method), reports, sum(one.seconds for one in reports), changed, self.unit)
        self.events.append(event)
        for network in networks:
            parameters = network.module.named_parameters()
            self.references[network.name] = {name: parameter.detach().clone() for name, parameter in parameters}
        if changed:
            self._begin()  # what methods knew of the old structure is no use, as after loading a checkpoint of the new
        else:
            self.watch()
        return event

    def attached(self, yes: bool) -> None:
        """Whether hooks tell of every step from here on; ValueError where they do already."""
        if yes and self._told.attached:
            raise ValueError("attach(manager) was called before, so that every step would count twice: detach() first")
        self._told.attached = yes

    def _ready(self, losses: Losses) -> list[MethodNetwork]:
        """The networks, with their losses, for the method that acts at events; ValueError where one is not ready."""
        given = self._given[0][1]
        networks = [replace(network, loss=losses.get(name), prepared={}) for name, network in given.items()]
        for network in networks:
            try:
                if self.method.needs_loss and network.loss is None:
                    raise ValueError(f"{spell(self.method)} looks at examples: give `act` the network's loss")
                self.method.ready(network)
            except ValueError as error:
                raise ValueError(f"network {network.name!r}: {error}") from error
        return networks

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
    def _act_on(self, network: MethodNetwork) -> NetworkReport:
        before = {matrix.name: Snapshot.of(matrix) for matrix in self.method.inventory(network.module).matrices}
        probe = next(network.module.parameters())
        started = clock(probe)
        self.method.restructure(network)
        outcome = numbers(self.method.act(network) or {})
        seconds = clock(probe) - started
        kept = [matrix for matrix in self.method.inventory(network.module).matrices if matrix.name in before]
        values = {matrix.name: before[matrix.name].singular_values_now(matrix) for matrix in kept}
        rows = tuple(before[matrix.name].compare(matrix, values[matrix.name][1]) for matrix in kept)
        notes, reset = tuple(self.method.notes(network)), tuple(filter(self.method.resets(network), values))
        return NetworkReport(network.name, rows, seconds, outcome, values, notes, reset)

    def after_step(self, network_name: str) -> None:
        if self._told.attached and self.acts_every_step:
            raise ValueError("attach(manager) calls after_step at every step already: call it nowhere else")
        self.follow_step(network_name)

    def follow_step(self, network_name: str) -> None:
        """What `after_step` does, and the hooks of `attach` ask for."""
        self._told.hear("after_step", known_name(network_name, self.networks))
        for method, networks in self._given:
            if method.acts_every_step:
                method.after_step(networks[network_name])
            if isinstance(watch := networks[network_name].activations, Watch):
                self._told.watched(method, network_name, len(watch))
                watch.forget()

    def penalty(self, network_name: str) -> Tensor | None:
        """What the methods add to the network's loss; None where they add nothing."""
        self._told.hear("penalty", known_name(network_name, self.networks))
        total = None
        for method, networks in self._given:
            term = method.penalty(networks[network_name]) if method.has_penalty else None
            if term is not None:
                total = term if total is None else total + term
        return total

    def measure(self, losses: Losses, hessian: bool = False, runs: Runs | None = None) -> dict[str, float]:
        """Measures of every network as `network/measure`, and the methods' own figures; changes nothing.

        `runs` are functions that run the networks on more examples than losses are of, for the rank of features.
        """
        refuse_computed_losses(losses)
        self._told.measured(self.networks.values())
        found: dict[str, float] = {}
        for name, network in self.networks.items():
            values = measure(network, self.references.get(name), hessian, losses.get(name), (runs or {}).get(name))
            found |= {f"{name}/{key}": value for key, value in values.items()}
        return found | self.figures()

    def figures(self) -> dict[str, float]:
        """What the methods have done to the networks so far, by their own account, as `network/figure`."""
        return {
            f"{name}/{key}": float(value)
            for method, networks in self._given
            for name, network in networks.items()
            for key, value in method.figures(network).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The part of the state that is JSON, without the events themselves; `tensors` is the rest."""
        return self.events.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the events so far, before tensors are loaded: structure that they changed is changed again.

        ValueError, with nothing changed, where the state was not saved by a manager, of this version or an earlier one.
        """
        record = Record.from_state(state, lambda spelling: restructures(self._recorded(spelling)), self.unit)
        self.close()
        change_again(self.networks, record.changes, self._recorded)
        self.events = record
        self._begin()

    def tensors(self) -> dict[str, Tensor]:
        """The state's tensors: methods' memories, random streams that have moved, the weights after the last event."""
        found: dict[str, Tensor] = {}
        for _, prefix, network in self._prefixed():
            found |= {f"{prefix}.memory.{key}": value.contiguous() for key, value in network.memory.items()}
            assert network.generator is not None
            if has_moved(network.generator):
                found[f"{prefix}.generator"] = network.generator.get_state()
        for name, reference in self.references.items():
            found |= {f"reference.{name}.{key}": value.contiguous() for key, value in reference.items()}
        return found

    @torch.no_grad()
    def load_tensors(self, saved: Mapping[str, Tensor]) -> None:
        """Load them, once the networks have theirs. A method that the saved run did not have begins here."""
        self._told.versions = None
        for method, prefix, network in self._prefixed():
            assert network.generator is not None
            if not any(key.startswith(f"{prefix}.") for key in saved):
                network.generator.manual_seed(network.generator.initial_seed())
                network.memory.clear()
                method.begin(network)  # now that the network has its weights
                continue
            begin = f"{prefix}.memory."
            method.recall(
                network, {key.removeprefix(begin): value for key, value in saved.items() if key.startswith(begin)}
            )
            if f"{prefix}.generator" in saved:
                restore_generator(network.generator, saved[f"{prefix}.generator"])
        self.references = {}
        for name, each in self.networks.items():
            parameters = dict(each.module.named_parameters())
            values = {key: saved[f"reference.{name}.{key}"] for key in parameters if f"reference.{name}.{key}" in saved}
            if values:  # with the strides of the parameters, so that sums come out the same
                self.references[name] = {
                    key: torch.empty_like(parameters[key]).copy_(value) for key, value in values.items()
                }

    def _prefixed(self) -> Iterator[tuple[Method, str, MethodNetwork]]:
        """Every method with each of its networks, and the name under which the method's state of it is saved."""
        for method, networks in self._given:
            for name, network in networks.items():
                yield method, f"method.{spell(method)}.{name}", network

    def _recorded(self, spelling: str) -> Method:
        """An event's method: this run's or a built-in one."""
        return self.method if spelling == spell(self.method) else built_in(spelling)
