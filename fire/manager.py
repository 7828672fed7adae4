"""The plasticity manager: applies a method to networks on a schedule, records the events and takes the measures."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .acting import act_on, ready_networks, refuse_complex, refuse_missing_inputs, structures
from .activity import Watch
from .aliases import renamed
from .argument_checks import known_name, refuse_computed_losses, refuse_confused, refuse_confused_lists
from .event import Event
from .measures import Run, measure
from .method_class import check_class
from .methods import Method
from .network import DrawInputs, Loss, MethodNetwork, Network
from .record import Record, built_in, change_again, restructures
from .record_fields import refuse_unreadable
from .reported_steps import ReportedSteps, refuse_idle_schedule
from .schedule import Position, Schedule
from .soundness import notes_on_processes, refuse_foreign_targets, refuse_unsound
from .spelling import spell
from .streams import has_moved, restore_generator, stream_of
from .trainability import Probed, trainability
from .trial import Rehearsal, check, try_methods
from .trigger import TRAINABILITY, Trigger, require_probes
from .undisturbed import buffers_kept, without_autocast
from .units import hidden_layers

Losses: TypeAlias = Mapping[str, Loss]
Runs: TypeAlias = Mapping[str, Run]
Probes: TypeAlias = Mapping[str, Probed]


@renamed(intervention="method")
class PlasticityManager:
    """Apply one method to networks when its schedule or a trigger makes an event due, and keep the newest events.

    Regularizers act besides the method, at every gradient step. `seed` seeds the methods' random generators. `unit` is
    what the progress of a position counts, for example environment steps; events are printed with it. A method that is
    not built in is tried in the constructor, on copies of the networks. `rehearsal` makes these copies, with their
    losses for methods that need them; by default the networks are copied and there are no losses. `inputs` are
    functions by the networks' names, for methods that need them: each draws a batch of the module's inputs with the
    random generator that it is given.
    """

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
        inputs: Mapping[str, DrawInputs] | None = None,
    ) -> None:
        refuse_confused(networks, method, schedule)
        refuse_confused_lists(regularizers, triggers)
        refuse_unsound(networks)
        self.networks = {network.name: network for network in networks}
        if len(self.networks) < len(networks):
            raise ValueError(f"two networks have the same name: {', '.join(network.name for network in networks)}")
        self.method, self.schedule, self.seed, self.unit = method, schedule, seed, unit
        self.regularizers, self.triggers = tuple(regularizers), tuple(triggers)
        self.inputs = dict(inputs or {})
        self._methods = (method, *self.regularizers)
        refuse_idle_schedule(method, schedule)
        self._reported = ReportedSteps(self._methods)
        self.acts_every_step = any(one.acts_every_step for one in self._methods)
        self.has_penalty = any(one.has_penalty for one in self._methods)
        acting = [one for one in self._methods if one.acts_every_step or one.has_penalty]
        self.not_capturable = ", ".join(spell(one) for one in acting if not one.capturable)
        self.capturable = not self.not_capturable  # whether updates may be recorded as a CUDA graph
        self.events = Record()
        self.references: dict[str, dict[str, Tensor]] = {}  # each network's weights right after its last event
        for one in self._methods:
            check_class(one)
            for network in networks:
                check(one, network)
        for network in networks if method.acts_at_events else ():
            refuse_complex(method, network)
        refuse_unreadable(spell(method))
        refuse_foreign_targets(networks)
        refuse_missing_inputs(method, self.networks, self.inputs)
        for trigger in self.triggers:
            trigger.check(self.networks)
        kinds = [type(one) for one in self._methods]
        if twice := next((one for one in self._methods if kinds.count(type(one)) > 1), None):
            raise ValueError(f"{spell(twice).partition(':')[0]} is given twice")
        self._given: list[tuple[Method, dict[str, MethodNetwork]]] = []  # each method and its networks
        self.notes = try_methods(self._methods, networks, rehearsal, seed)  # sentences about unusual but allowed things
        self.notes += notes_on_processes(self._methods)
        for note in self.notes if rehearsal is None else ():  # a run, which has a rehearsal, prints them itself
            warnings.warn(note, stacklevel=3)
        self._watches: list[Watch] = []
        self._begin()

    def _begin(self) -> None:
        """Give every method the networks with empty memories; random generators continue from their current state."""
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
        """Start to record activations for the methods that need them; call this again after `close`."""
        self.close()
        for method, networks in self._given:
            for name, network in networks.items() if method.watches_units else ():
                began = {layer.name for layer in network.layers}  # layers that are trained only later have no memory
                layers = tuple(one for one in hidden_layers(network.module) if not began or one.name in began)
                self._watches.append(Watch(network.module, layers))
                networks[name] = replace(network, layers=layers, activations=self._watches[-1])

    def idle(self) -> list[str]:
        """Return a sentence for each method that acts at every step and whose figures are all still 0."""
        said = []
        for method, networks in self._given:
            if not method.acts_every_step or not networks:
                continue
            counts = [count for each in networks.values() for count in method.figures(each).items()]
            if counts and not any(float(value) for _, value in counts):
                names = ", ".join(dict.fromkeys(name for name, _ in counts))
                said.append(f"{spell(method)} has done nothing in this run: {names}: 0")
        return said

    def close(self) -> None:
        """Remove all hooks from the networks: for code that continues without the manager, or copies a network."""
        for watch in self._watches:
            watch.close()
        self._watches = []

    @contextmanager
    def _without_hooks(self) -> Iterator[None]:
        """Run the block without hooks on the networks, since parts of them may be copied, and add the hooks again."""
        self.close()
        try:
            yield
        finally:
            self.watch()

    @property
    def structure(self) -> object:
        """An object that is replaced whenever an event or a loaded checkpoint changes the networks' structure."""
        return self._given

    @property
    def generators(self) -> list[torch.Generator]:
        """The methods' random generators."""
        given = [network.generator for _, networks in self._given for network in networks.values()]
        return [generator for generator in given if generator is not None]

    @property
    def event_count(self) -> int:
        """The number of events so far, including those that `events` no longer holds."""
        return self.events.total

    def latest(self, method: str) -> Position | None:
        """Return the position of a method's last event, by the method's spelling."""
        return self.events.latest.get(method)

    def due(self, before: Position, after: Position) -> bool:
        """Whether the schedule has an event after `before` and up to `after`."""
        self._reported.begin(before)
        self._reported.require_reports(after, tuple(self.networks))
        return self.schedule.crossed(before, after)

    def triggered(self, measures: Mapping[str, float], position: Position) -> Trigger | None:
        """Return the first trigger for which these measures, taken by `measure`, make an event due; None if none."""
        since = position.updates - max((last.updates for last in self.events.latest.values()), default=0)
        if self.events.latest and not since:  # there was an event at this position already
            return None
        for trigger in self.triggers if measures else ():
            if trigger.measure != TRAINABILITY and "/" not in trigger.measure and not trigger.seen(measures):
                warnings.warn(f"{trigger} cannot be met: these measures do not have it", stacklevel=2)
        return next((trigger for trigger in self.triggers if trigger.met(measures, since)), None)

    def updates_until_event(self, position: Position) -> int | None:
        """Return the number of updates until the next event at a scheduled update; None if there is no such event."""
        update = self.schedule.next_update(position)
        return None if update is None else update - position.updates

    def act(self, position: Position, losses: Losses | None = None) -> Event:
        """Apply the method to every network now, and record the event. If one network is not ready, none is changed.

        Methods that need activations or gradients need `losses`: for each network's name a function that runs the
        module on examples and returns its training loss.
        """
        refuse_computed_losses(losses or {})
        self._reported.begin(position)
        self._reported.require_reports(position, tuple(self.networks), patience=1)
        ready = ready_networks(self.method, self._given[0][1], losses or {}, self.inputs)
        structure = structures(self.networks)
        with self._without_hooks():
            reports = tuple(act_on(self.method, *each) for each in ready)
        self._reported.versions = None  # the event has changed weights, which is not a missed gradient step
        now = structures(self.networks)
        changed = tuple(name for name in now if now[name] != structure[name])
        event = Event(position, spell(self.method), reports, sum(one.seconds for one in reports), changed, self.unit)
        self.events.append(event)
        for network in self.networks.values():
            parameters = network.module.named_parameters()
            self.references[network.name] = {name: parameter.detach().clone() for name, parameter in parameters}
        if changed:
            self._begin()  # memories of the old structure are useless; loading a checkpoint also starts from empty ones
        return event

    def note_attached(self, on: bool) -> None:
        """Note whether hooks report every step from now on; raise ValueError if hooks are attached already."""
        if on and self._reported.attached:
            raise ValueError("attach(manager) was called before, and every step would count twice: call detach() first")
        self._reported.attached = on

    def after_step(self, network_name: str) -> None:
        """Let methods that act at every gradient step act on a network; call it after each `optimizer.step()`."""
        if self._reported.attached and self.acts_every_step:
            raise ValueError("attach(manager) already calls after_step at every step: remove the other call")
        self.follow_step(network_name)

    def follow_step(self, network_name: str) -> None:
        """Do what `after_step` does, without its check; the hooks of `attach` call this."""
        self._reported.note_call("after_step", known_name(network_name, self.networks))
        for method, networks in self._given:
            if method.acts_every_step:
                method.after_step(networks[network_name])
            if isinstance(watch := networks[network_name].activations, Watch):
                self._reported.note_layers(method, network_name, len(watch))
                watch.forget()

    def penalty(self, network_name: str) -> Tensor | None:
        """Return the term that the methods add to the network's loss, computed without autocast; None for nothing."""
        if self._reported.attached and self.has_penalty:
            raise ValueError("attach(manager) already adds the penalty at every step: remove the other call")
        return self.sum_penalties(network_name)

    def sum_penalties(self, network_name: str) -> Tensor | None:
        """Do what `penalty` does, without its check; the hooks of `attach` call this."""
        self._reported.note_call("penalty", known_name(network_name, self.networks))
        total = None
        for method, networks in self._given:
            if not method.has_penalty:
                continue
            with without_autocast(networks[network_name].module):
                term = method.penalty(networks[network_name])
            if term is not None:
                total = term if total is None else total + term
        return total

    def measure(
        self, losses: Losses, hessian: bool = False, runs: Runs | None = None, probes: Probes | None = None
    ) -> dict[str, float]:
        """Return the measures of every network as `network/measure`, and the methods' own figures; change nothing.

        `runs` are functions that run the networks on more examples than `losses` do, for the rank of features. The
        trainability of the networks in `probes` is measured too, on copies that are trained for a while. If a trigger
        uses it, give `probes` every time, empty ones where it is not due.
        """
        refuse_computed_losses(losses)
        require_probes(self.triggers, probes)
        self._reported.compare_weights(self.networks.values())
        found: dict[str, float] = {}
        modules = [module for network in self.networks.values() for module in (network.module, network.target)]
        with buffers_kept(*modules):  # a loss may also run other networks than its own
            for name, network in self.networks.items():
                values = measure(network, self.references.get(name), hessian, losses.get(name), (runs or {}).get(name))
                found |= {f"{name}/{key}": value for key, value in values.items()}
        return found | self._trainability(probes or {}) | self.figures()

    def _trainability(self, probes: Probes) -> dict[str, float]:
        """Return the trainability of the networks in `probes`; copies of them must not have the methods' hooks."""
        networks = self.networks
        with self._without_hooks() if self._watches and probes else nullcontext():
            return {f"{name}/trainability": trainability(networks[name].module, each) for name, each in probes.items()}

    def figures(self) -> dict[str, float]:
        """Return the numbers that the methods themselves report about their work so far, as `network/figure`."""
        return {
            f"{name}/{key}": float(value)
            for method, networks in self._given
            for name, network in networks.items()
            for key, value in method.figures(network).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the part of the state that is stored as JSON, without the events; `tensors` returns the rest."""
        return self.events.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the record of events and repeat their changes of structure; call this before tensors are loaded.

        Raise ValueError, and change nothing, if the state was not saved by a manager of this or an earlier version.
        """
        record = Record.from_state(state, lambda spelling: restructures(self._recorded(spelling)), self.unit)
        with self._without_hooks():
            change_again(self.networks, record.changes, self._recorded)
        self.events = record
        self._begin()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state's tensors: methods' memories, used random generators, the weights after the last event."""
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
        """Load the tensors, after the networks' own weights. A method that the saved run did not have starts afresh."""
        self._reported.versions = None
        for method, prefix, network in self._prefixed():
            assert network.generator is not None
            if not any(key.startswith(f"{prefix}.") for key in saved):
                network.generator.manual_seed(network.generator.initial_seed())
                network.memory.clear()
                method.begin(network)  # now that the network has its weights
                continue
            begin = f"{prefix}.memory."
            memory = {key.removeprefix(begin): value for key, value in saved.items() if key.startswith(begin)}
            method.recall(network, memory)
            if f"{prefix}.generator" in saved:
                restore_generator(network.generator, saved[f"{prefix}.generator"])
            else:  # it had not moved when it was saved
                network.generator.manual_seed(network.generator.initial_seed())
        self.references = {}
        for name, each in self.networks.items():
            parameters = dict(each.module.named_parameters())
            values = {key: saved[f"reference.{name}.{key}"] for key in parameters if f"reference.{name}.{key}" in saved}
            if values:  # with the parameters' strides, so that sums are bit by bit the same
                self.references[name] = {
                    key: torch.empty_like(parameters[key]).copy_(value) for key, value in values.items()
                }

    def _prefixed(self) -> Iterator[tuple[Method, str, MethodNetwork]]:
        """Yield every method with each of its networks, and the prefix under which that pair's state is saved."""
        for method, networks in self._given:
            for name, network in networks.items():
                yield method, f"method.{spell(method)}.{name}", network

    def _recorded(self, spelling: str) -> Method:
        """Return the method of a recorded event: this run's or a built-in one."""
        return self.method if spelling == spell(self.method) else built_in(spelling)
