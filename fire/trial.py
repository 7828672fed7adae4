"""A method of one's own is tried before a run begins, on a copy of the networks, and not first at half of the run.

Tried are the calls that the manager makes, twice from the same seed: they must do the same in place, write numbers
alone, and draw from `network.generator`, whose state is saved with the run.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .activity import Watch
from .in_place import Before, same_values, values_of
from .method_class import of_ones_own
from .methods import Method
from .network import Loss, MethodNetwork, Network
from .spelling import spell
from .streams import Draws, global_streams, moved, noting, restore_streams, stream_of
from .units import hidden_layers

# Makes copies of the networks as they are on the first day, with losses of these by name; equal ones at each call.
Copies: TypeAlias = tuple[Sequence[Network], Mapping[str, Loss]]
Rehearsal: TypeAlias = Callable[[], Copies]

HOW_TO_FORK = (
    "; what takes no generator, as torch.svd_lowrank, goes after torch.manual_seed(int(torch.randint(2**40, (), "
    "generator=network.generator))), both under `with torch.random.fork_rng():`"
)
STEPS = 3  # that a method which acts at each is tried for


def try_methods(
    methods: Sequence[Method], networks: Sequence[Network], rehearsal: Rehearsal | None, seed: int
) -> list[str]:
    """Raise ValueError, in one line, where a method that is not built in could not be used; sentences on oddities."""
    notes: list[str] = []
    for method in methods:
        if not of_ones_own(method) or not networks:
            continue
        make, streams = rehearsal or (lambda: (copy.deepcopy(tuple(networks)), {})), global_streams()
        try:
            notes += _try(method, make, seed)
        finally:
            restore_streams(streams)
    return notes


def check(method: Method, network: Network) -> None:
    """Ask the method whether it could act on the network; ValueError, in one line, where it could not or fails."""
    try:
        method.check(network)
    except ValueError:
        raise
    except Exception as error:
        if not of_ones_own(method):
            raise
        raise _failed(method, network, "check", error) from error


def _try(method: Method, make: Rehearsal, seed: int) -> list[str]:
    streams = global_streams()

    def rehearsed(copies: Copies, seed: int) -> Rehearsed:
        restore_streams(streams)  # from which new layers are drawn, where a method adds some
        return _rehearse(method, copies, seed)

    try:
        copies = make()
    except Exception as error:  # what somebody's module does when it is copied
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [f"{spell(method)} was not tried beforehand: no copy of the networks can be made ({said})"]
    first, second = rehearsed(copies, seed), rehearsed(make(), seed)
    name = spell(method)
    if not same_values(first.values, second.values):
        raise ValueError(
            f"{name} does not do the same twice from one seed, so that no run of it could be repeated: let it draw "
            "from network.generator alone, and keep what it remembers in network.memory"
        )
    notes = list(first.notes)
    if first.foreign and same_values(first.values, rehearsed(make(), seed + 2**20).values):
        notes.append(
            f"{name} draws the same for every seed and at every event, from a generator of its own: where that is not "
            "meant, let it draw from network.generator"
        )
    if first.acted and not first.changed:
        notes.append(f"{name} changed nothing when it was tried on the networks of the first day, which may be right")
    return notes


@dataclass(frozen=True)
class Rehearsed:
    """What was done to the copies."""

    values: Mapping[str, Tensor]
    changed: bool
    acted: bool  # whether it was asked to act at an event, as it should
    foreign: bool  # whether it drew from a generator that the manager did not give it
    notes: Sequence[str]


def _rehearse(method: Method, copies: Copies, seed: int) -> Rehearsed:
    """The calls of the manager, on copies."""
    networks, losses = copies
    given = [
        MethodNetwork.of(each, generator=stream_of(method, each, seed + number)) for number, each in enumerate(networks)
    ]
    before = [values_of(network) for network in given]
    watches: list[Watch] = []
    every_step = method.acts_every_step or method.has_penalty  # which may do nothing at first
    acted, notes = False, list[str]()
    with noting({id(network.generator) for network in given}) as draws:
        for place, network in enumerate(given):
            if method.watches_units:
                layers = hidden_layers(network.module)
                watches.append(Watch(network.module, layers))
                given[place] = network = replace(network, layers=layers, activations=watches[-1])
            _Call(method, network, "begin")(method.begin, memory_may_grow=True)
        for network in given:
            loss = _quiet(losses.get(network.name), draws)
            if loss is not None and method.watches_units:
                with torch.enable_grad():
                    loss()
            if method.has_penalty and (note := _check_penalty(method, network)):
                notes.append(note)
            seen = loss is not None or not method.watches_units  # it has something to see
            for step in range(STEPS if method.acts_every_step and seen else 0):
                if step and loss is not None and method.watches_units:
                    with torch.enable_grad():
                        loss()
                with torch.no_grad():
                    _Call(method, network, "after_step")(method.after_step)
                if isinstance(network.activations, Watch):
                    network.activations.forget()
        for watch in watches:
            watch.close()
        ready = [replace(each, loss=_quiet(losses.get(each.name), draws), prepared={}) for each in given]
        if method.acts_at_events and not (method.needs_loss and any(each.loss is None for each in ready)):
            acted = not every_step or type(method).act is not Method.act
            for network in ready:
                _Call(method, network, "ready")(method.ready)
            for network in ready:
                with torch.no_grad():
                    _restructure(method, network)
                    if not method.needs_loss:
                        network = replace(network, loss=None)
                    _check_numbers(method, network, "act", _Call(method, network, "act")(method.act))
        for network in given:
            _check_numbers(method, network, "figures", _Call(method, network, "figures")(method.figures), tensors=True)
    values = [values_of(network) for network in given]
    elsewhere = method.has_penalty or type(method).restructure is not Method.restructure
    changed = elsewhere or not all(map(same_values, before, [_without_memory(each) for each in values]))
    flat = {f"{number} {name}": value for number, each in enumerate(values) for name, value in each.items()}
    return Rehearsed(flat, changed, acted, draws.foreign, notes)


def _restructure(method: Method, network: MethodNetwork) -> None:
    if type(method).restructure is not Method.restructure:
        try:
            method.restructure(network)
        except Exception as error:
            raise _failed(method, network, "restructure", error) from error


@dataclass(frozen=True)
class _Call:
    """One call of a method, looked at from outside."""

    method: Method
    network: MethodNetwork
    hook: str

    def __call__(self, hook: Callable[[MethodNetwork], Any], memory_may_grow: bool = False) -> Any:
        before, streams = Before.of(self.network), global_streams()
        target = {name: value.clone() for name, value in self._target().items()}
        try:
            found = hook(self.network)
        except (Exception, SystemExit) as error:
            raise _failed(self.method, self.network, self.hook, error) from error
        if memory_may_grow:
            now = Before.of(self.network)  # with hooks that it watches by, where it has some
            before = replace(before, memory=now.memory, hooks=now.hooks)
        fault = before.fault()
        if stream := moved(streams):
            fault = f"draws from {stream}: let it draw from network.generator{HOW_TO_FORK}"
        after_step = self.hook == "after_step" and self.network.target is not None
        if not fault and after_step and not same_values(target, self._target()):
            fault = "wrote to the target, which follows by itself after a step"
        if fault:
            raise ValueError(f"{spell(self.method)}: {self.hook}({self.network.name!r}) {fault}")
        return found

    def _target(self) -> Mapping[str, Tensor]:
        return {} if self.network.target is None else self.network.target.state_dict()


def _failed(method: Method, network: Network, hook: str, error: BaseException) -> ValueError:
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    missing = not method.needs_loss and "NoneType" in said
    hint = "; set needs_loss = True in its class if it runs network.loss" if missing else ""
    if method.watches_units and isinstance(error, KeyError) and hook != "after_step":
        hint = "; network.activations is for after_step alone, and empty elsewhere"
    return ValueError(f"{spell(method)}: {hook}({network.name!r}) failed when it was tried, {said}{hint}")


def _quiet(loss: Loss | None, draws: Draws) -> Loss | None:
    """The loss, whose own draws, as of dropout, are not the method's."""
    if loss is None:
        return None

    def quiet() -> Tensor:
        streams, foreign = global_streams(), draws.foreign
        try:
            return loss()
        finally:
            restore_streams(streams)
            draws.foreign = foreign

    return quiet


def _check_penalty(method: Method, network: MethodNetwork) -> str | None:
    """A sentence where it changes nothing, which may be right."""
    before = values_of(network)
    with torch.enable_grad():
        term = _Call(method, network, "penalty")(method.penalty)
    what = f"{spell(method)}: penalty({network.name!r})"
    if term is None:
        return None
    if not isinstance(term, Tensor) or term.dim():
        kind = f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
        raise ValueError(f"{what} gives {kind}: give one number as a tensor, such as a sum()")
    if not term.isfinite():
        raise ValueError(f"{what} gives {float(term)}")
    if not term.requires_grad and term:  # 0 is what one gives for a network that is left alone
        raise ValueError(
            f"{what} gives a number without a gradient, which changes nothing: compute it of the parameters, "
            "or return None"
        )
    if not same_values(_without_memory(before), _without_memory(values_of(network))):
        raise ValueError(f"{what} wrote to the network: a penalty is a term of the loss alone")
    trained = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
    if not term.requires_grad or not trained:
        return None
    try:
        gradients = torch.autograd.grad(term, trained, allow_unused=True)
    except RuntimeError as error:
        raise _failed(method, network, "penalty", error) from error
    if all(gradient is None for gradient in gradients):
        return f"{what} depends on none of the network's own parameters, and so pulls at none of them"
    if term and not any(gradient.any() for gradient in gradients if gradient is not None):
        return f"{what} has a gradient of zero on the networks of the first day, which may be right"
    return None


def _check_numbers(method: Method, network: MethodNetwork, hook: str, found: Any, tensors: bool = False) -> None:
    """What is recorded or logged: numbers by name."""
    what = f"{spell(method)}: {hook}({network.name!r})"
    if found is None and hook == "act":
        return
    if not isinstance(found, Mapping):
        raise ValueError(f"{what} gives a {type(found).__name__}: give a dictionary of numbers by name, or nothing")
    for key, value in found.items():
        fits = isinstance(value, Real) or (tensors and isinstance(value, Tensor) and value.numel() == 1)
        if not isinstance(key, str) or not fits:
            raise ValueError(f"{what} gives {key!r} as a {type(value).__name__}: give a number, as by float(value)")


def _without_memory(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if not name.startswith("memory ")}


def warn_of(notes: Sequence[str]) -> None:
    """For code that has no run to say them in."""
    for note in notes:
        warnings.warn(note, stacklevel=4)
