"""Try a user's own method on copies of the networks before a run begins, so that errors do not appear at half the run.

The calls that the manager makes are tried twice with the same seed. Both times they must have the same effect, work in
place, write finite numbers only, and draw from `network.generator`, whose state is saved with the run.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .activity import Watch
from .error_place import place_of
from .in_place import Before, same_values, values_of
from .method_class import of_ones_own
from .methods import Method
from .network import Loss, MethodNetwork, Network, tensors_in
from .record import restructures
from .spelling import spell
from .streams import Draws, moved, noting, stream_of
from .undisturbed import global_streams, restore_streams
from .units import hidden_layers

# A Rehearsal returns copies of the networks at the start of the run, and their losses by name; equal at each call.
Copies: TypeAlias = tuple[Sequence[Network], Mapping[str, Loss]]
Rehearsal: TypeAlias = Callable[[], Copies]

HOW_TO_FORK = (
    "; for a function without a generator argument, such as torch.svd_lowrank, first call "
    "torch.manual_seed(int(torch.randint(2**40, (), generator=network.generator))), both inside "
    "`with torch.random.fork_rng():`"
)
STEPS = 3  # gradient steps for which a method that acts at every step is tried


def try_methods(
    methods: Sequence[Method], networks: Sequence[Network], rehearsal: Rehearsal | None, seed: int
) -> list[str]:
    """Raise ValueError if a user's own method cannot be used; return sentences on unusual but allowed things."""
    notes: list[str] = []
    for method in methods:
        if not of_ones_own(method) or not networks:
            continue
        make, streams = rehearsal or (lambda: (copy.deepcopy(tuple(networks)), {})), global_streams()
        try:
            notes += _try_method(method, make, seed)
        finally:
            restore_streams(streams)
    return notes


def check(method: Method, network: Network) -> None:
    """Raise ValueError if the method's own check refuses the network, or fails (if it is a user's own method)."""
    try:
        method.check(network)
    except ValueError:
        raise
    except Exception as error:
        if not of_ones_own(method):
            raise
        raise _failed(method, network, "check", error) from error


def _try_method(method: Method, make: Rehearsal, seed: int) -> list[str]:
    streams = global_streams()

    def tried(copies: Copies, seed: int) -> Trial:
        restore_streams(streams)  # a method that adds layers initialises them from the global generators
        return _try_once(method, copies, seed)

    try:
        copies = make()
    except Exception as error:  # copying a user's module may raise anything
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [f"{spell(method)} was not tried beforehand: the networks cannot be copied ({said})"]
    first, second = tried(copies, seed), tried(make(), seed)
    name = spell(method)
    if not same_values(first.values, second.values):
        raise ValueError(
            f"{name} has different effects in two tries with the same seed, so that no run could be repeated: draw "
            "from network.generator only, and keep everything that it remembers in network.memory"
        )
    notes = list(first.notes)
    if first.foreign and same_values(first.values, tried(make(), seed + 2**20).values):
        notes.append(
            f"{name} draws the same numbers for every seed and at every event, from its own generator: if that is not "
            "intended, draw from network.generator"
        )
    if first.acted and not first.changed:
        notes.append(f"{name} changed nothing when it was tried on the initial networks, which may be right")
    return notes


@dataclass(frozen=True)
class Trial:
    """The result of a trial on copies of the networks."""

    values: Mapping[str, Tensor]
    changed: bool
    acted: bool  # whether the method was called at an event
    foreign: bool  # whether it drew from a generator that the manager had not given it
    notes: Sequence[str]


def _try_once(method: Method, copies: Copies, seed: int) -> Trial:
    """Call the method on copies as the manager would."""
    networks, losses = copies
    given = [
        MethodNetwork.of(each, generator=stream_of(method, each, seed + number)) for number, each in enumerate(networks)
    ]
    before = [values_of(network) for network in given]
    watches: list[Watch] = []
    every_step = method.acts_every_step or method.has_penalty  # such a method may change nothing at first
    acted, penalized, notes = False, False, list[str]()
    with noting({id(network.generator) for network in given}) as draws:
        for place, network in enumerate(given):
            if method.watches_units:
                layers = hidden_layers(network.module)
                watches.append(Watch(network.module, layers))
                given[place] = network = replace(network, layers=layers, activations=watches[-1])
            _called(method, network, "begin")
        for network in given:
            loss = _quiet(losses.get(network.name), draws)
            if loss is not None and method.watches_units:
                with torch.enable_grad():
                    loss()
            if method.has_penalty:
                given_back, note = _check_penalty(method, network)
                penalized |= given_back
                notes += [note] if note else []
            seen = loss is not None or not method.watches_units  # the activations it needs are available
            for step in range(STEPS if method.acts_every_step and seen else 0):
                if step and loss is not None and method.watches_units:
                    with torch.enable_grad():
                        loss()
                with torch.no_grad():
                    _called(method, network, "after_step")
                if isinstance(network.activations, Watch):
                    network.activations.forget()
        if method.has_penalty and not penalized:
            notes.append(
                f"{spell(method)}: penalty() returns None for every network, which adds nothing to their losses; "
                "if that is not intended, return a number"
            )
        for watch in watches:
            watch.close()
        ready = [replace(each, loss=_quiet(losses.get(each.name), draws), prepared={}) for each in given]
        lacks = method.needs_inputs or (method.needs_loss and any(each.loss is None for each in ready))
        if method.acts_at_events and not lacks:
            acted = not every_step or type(method).act is not Method.act
            for network in ready:
                _called(method, network, "ready")
            for network in ready:
                with torch.no_grad():
                    _restructure(method, network)
                    if not method.needs_loss:
                        network = replace(network, loss=None)
                    _check_numbers(method, network, "act")
        for network in given:
            _check_numbers(method, network, "figures")
    values = [values_of(network) for network in given]
    elsewhere = method.has_penalty or restructures(method)
    changed = elsewhere or not all(map(same_values, before, [_without_memory(each) for each in values]))
    flat = {f"{number} {name}": value for number, each in enumerate(values) for name, value in each.items()}
    return Trial(flat, changed, acted, draws.foreign, notes)


def _restructure(method: Method, network: MethodNetwork) -> None:
    if restructures(method):
        try:
            method.restructure(network)
        except Exception as error:
            raise _failed(method, network, "restructure", error) from error


def _called(method: Method, network: MethodNetwork, hook: str) -> Any:
    """Call one of the method's functions; raise ValueError if it fails, or changes what it must not."""
    before, streams = Before(network), global_streams()
    untouched = network.target if hook == "after_step" else None
    target = {} if untouched is None else {name: value.clone() for name, value in tensors_in(untouched).items()}
    try:
        found = getattr(method, hook)(network)
    except (Exception, SystemExit) as error:
        raise _failed(method, network, hook, error) from error
    if hook == "begin":
        now = Before(network)  # the method may have created its memory, and added its own hooks to watch the network
        before.memory, before.hooks = now.memory, now.hooks
    fault = before.fault()
    if stream := moved(streams):
        fault = f"draws from {stream}: draw from network.generator{HOW_TO_FORK}"
    if not fault and untouched is not None and not same_values(target, tensors_in(untouched)):
        fault = "wrote to the target, which is updated elsewhere after a step"
    if fault:
        raise ValueError(f"{spell(method)}: {hook}({network.name!r}) {fault}")
    return found


def _failed(method: Method, network: Network, hook: str, error: BaseException) -> ValueError:
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    missing = not method.needs_loss and "NoneType" in said
    hint = "; set needs_loss = True in its class if it runs network.loss" if missing else ""
    if method.watches_units and isinstance(error, KeyError) and hook != "after_step":
        hint = "; network.activations is available in after_step only"
    if "FrozenInstanceError" in said:
        hint = "; write in place, such as parameter.copy_(new)"
    place = place_of(error, type(method).__module__)
    return ValueError(f"{spell(method)}: {hook}({network.name!r}) failed when it was tried, {said}{place}{hint}")


def _quiet(loss: Loss | None, draws: Draws) -> Loss | None:
    """Return the loss such that its own random draws, for example of dropout, are not counted as the method's."""
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


def _check_penalty(method: Method, network: MethodNetwork) -> tuple[bool, str | None]:
    """Return whether there is a penalty, and a sentence if it has no effect, which may be right.

    Raise ValueError if the penalty cannot be used.
    """
    before = values_of(network)
    with torch.enable_grad():
        term = _called(method, network, "penalty")
    what = f"{spell(method)}: penalty({network.name!r})"
    if term is None:
        return False, None
    if not isinstance(term, Tensor) or term.dim():
        kind = f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
        raise ValueError(f"{what} gives {kind}: return one number as a tensor, such as a sum()")
    if not term.isfinite():
        raise ValueError(f"{what} gives {float(term)}; allowed is a finite number")
    if not term.requires_grad and term:  # a constant 0 is allowed, for a network without a penalty
        raise ValueError(
            f"{what} gives a number without a gradient, which changes nothing: compute it from the parameters, "
            "or return None"
        )
    if not same_values(_without_memory(before), _without_memory(values_of(network))):
        raise ValueError(f"{what} wrote to the network: a penalty may only return a term of the loss")
    trained = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
    if not term.requires_grad or not trained:
        return True, None
    try:
        gradients = torch.autograd.grad(term, trained, allow_unused=True)
    except RuntimeError as error:
        raise _failed(method, network, "penalty", error) from error
    if all(gradient is None for gradient in gradients):
        return True, f"{what} depends on none of the network's own parameters, and so has no effect on them"
    if term and not any(gradient.any() for gradient in gradients if gradient is not None):
        return True, f"{what} has a gradient of zero on the initial networks, which may be right"
    return True, None


def _check_numbers(method: Method, network: MethodNetwork, hook: str) -> None:
    """Call a function; raise ValueError if what it gives, to be recorded or logged, is not a mapping of numbers."""
    found, what = _called(method, network, hook), f"{spell(method)}: {hook}({network.name!r})"
    if found is None and hook == "act":
        return
    if not isinstance(found, Mapping):
        raise ValueError(f"{what} gives a {type(found).__name__}: return a dictionary of numbers by name, or nothing")
    for key, value in found.items():
        fits = isinstance(value, Real) or (hook == "figures" and isinstance(value, Tensor) and value.numel() == 1)
        if not isinstance(key, str) or not fits:
            raise ValueError(f"{what} gives {key!r} as a {type(value).__name__}: return a number, such as float(value)")


def _without_memory(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if not name.startswith("memory ")}
