"""A network with everything that must change together with its weights: target, optimizer, companions.

CUDA graphs hold memory addresses, so parameters, targets and optimizer states must keep theirs: they are written by
copy_ and zero_ and never replaced by new tensors. Only a method that changes the structure replaces tensors; after it,
graphs must be captured again.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .unit_weights import HiddenLayer

Loss: TypeAlias = Callable[[], Tensor]
# Draws a batch of a module's inputs with a random generator: one tensor or several; the first dimension is examples.
DrawInputs: TypeAlias = Callable[[torch.Generator], Tensor | tuple[Tensor, ...]]


@runtime_checkable
class LossByBatch(Protocol):
    """A loss that can also go through the data batch by batch, for methods that need more data than one batch."""

    def __call__(self) -> Tensor:
        """Return the training loss on some examples."""

    def batches(self) -> Iterable[Loss]:
        """Yield the losses of one pass over the data, one per batch; call each before taking the next."""


# Optimizers whose state is all zeros before their first step, so that zeroing the state resets them. Another class can
# declare the same by a class attribute, starts_at_zero = True.
ZERO_START = tuple(
    getattr(torch.optim, name)
    for name in ("Adam", "AdamW", "Adamax", "RAdam", "RMSprop", "Adadelta", "SGD", "Muon")
    if hasattr(torch.optim, name)
)


@dataclass(frozen=True)
class Companion:
    """Parameters outside a network that are reset together with it, such as SAC's temperature."""

    name: str
    parameters: tuple[Tensor, ...]
    initial: tuple[Tensor, ...]
    optimizer: Optimizer | None = None


@dataclass(frozen=True)
class Network:
    """One network and all that belongs to it.

    `initial` is a clone of the module's state_dict at the start of the run; methods that change the structure add
    entries to it. `encoder` and `head` are names of modules.
    """

    name: str
    module: nn.Module
    initial: MutableMapping[str, Tensor]
    optimizer: Optimizer | None = None
    target: nn.Module | None = None
    companions: tuple[Companion, ...] = ()
    encoder: tuple[str, ...] = ()
    head: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodNetwork(Network):
    """A network as the manager gives it to one method, with that method's own state.

    `loss` runs the module on examples and returns its training loss, and `inputs` draws a batch of the module's inputs
    with a random generator; both are given at events only. For a method with
    `watches_units`, `layers` are the hidden layers and `activations` their values in the last forward pass, by the
    layer's name. `memory` holds the method's tensors from step to step; it and the random `generator` are saved with
    the run. The generator is on the CPU, or on the network's device for capturable methods that act at every step.
    `prepared` passes results from `ready` to `act`; it is empty at the start of each event and is not saved.
    """

    loss: Loss | None = None
    inputs: DrawInputs | None = None
    layers: tuple[HiddenLayer, ...] = ()
    activations: Mapping[str, Tensor] = field(default_factory=dict)
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator | None = None
    prepared: MutableMapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, network: Network, **kept: Any) -> "MethodNetwork":
        """Extend a network by the fields of one method."""
        return cls(**{field.name: getattr(network, field.name) for field in fields(Network)}, **kept)


def lies_in(name: str, parts: tuple[str, ...]) -> bool:
    """Whether the parameter or matrix of this name lies in one of the named modules."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def aliases_in(module: nn.Module, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names outside the parts of modules and parameters that also have a name inside."""
    modules = list(module.named_modules(remove_duplicate=False))
    parameters = list(module.named_parameters(remove_duplicate=False))
    named: list[tuple[str, nn.Module | nn.Parameter]] = [*modules, *parameters]
    inside = {id(value) for name, value in named if lies_in(name, parts)}
    return tuple(name for name, value in named if id(value) in inside and not lies_in(name, parts))


def tensors_in(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module's state_dict, shared ones under each of their names."""
    try:
        state = module.state_dict(keep_vars=True)
    except TypeError as error:
        raise ValueError(
            f"{type(module).__name__}: every state_dict() must take the arguments of torch.nn.Module.state_dict, such "
            f"as keep_vars; write `def state_dict(self, *args, **kwargs)` ({error})"
        ) from error
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}  # without extra states


@torch.no_grad()
def restore_(
    module: nn.Module,
    initial: Mapping[str, Tensor],
    touches: Callable[[str], bool],
    keeps: Callable[[str], bool] = lambda name: False,
) -> None:
    """Reset every parameter and buffer of which `touches` accepts a name, and `keeps` none, to its initial value."""
    tensors = tensors_in(module)
    kept = {id(value) for name, value in tensors.items() if keeps(name)}
    for name, value in tensors.items():
        if touches(name) and id(value) not in kept:
            value.copy_(initial[name])


@torch.no_grad()
def renew_(optimizer: Optimizer, parameters: Iterable[Tensor] | None = None) -> None:
    """Reset moments and step counts, of all parameters or of some. Learning rates stay as a schedule has set them."""
    refuse_unknown(optimizer)
    for parameter in tuple(optimizer.state) if parameters is None else parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor):
                value.zero_()


@torch.no_grad()
def exchange_(optimizer: Optimizer, before: Iterable[Tensor], after: Iterable[Tensor]) -> None:
    """Replace some parameters by others in the optimizer's lists; state of the same shape starts at zero."""
    new = {id(parameter): other for parameter, other in zip(before, after, strict=True)}
    for group in optimizer.param_groups:
        parameters = group["params"]
        for index, parameter in enumerate(parameters):
            if id(parameter) in new:
                parameters[index] = new[id(parameter)]
                if parameter in optimizer.state:
                    old = optimizer.state.pop(parameter).items()
                    zero = {key: torch.zeros_like(value) if isinstance(value, Tensor) else value for key, value in old}
                    optimizer.state[parameters[index]] = zero


def refuse_unknown(optimizer: Optimizer, advice: str = "; or choose optimizer=keep") -> None:
    """Raise ValueError if zeroing this optimizer's state is not known to reset it."""
    kind = type(optimizer).__name__
    declared = vars(type(optimizer)).get("starts_at_zero", False)
    if type(optimizer) not in ZERO_START and not declared:  # a subclass may keep state that does not start at zero
        known = ", ".join(kind.__name__ for kind in ZERO_START)
        raise ValueError(f"optimizer {kind} cannot be renewed in place; known are {known}{advice}")
    if any(group.get("dampening") for group in optimizer.param_groups):
        raise ValueError(f"optimizer {kind} with dampening cannot be renewed in place{advice}")


def refuse_not_renewable(network: Network, *, optimizer: bool, companions: bool) -> None:
    """Raise ValueError if an optimizer that is to be renewed cannot be: before an event, so that it changes nothing."""
    if optimizer and network.optimizer is not None:
        refuse_unknown(network.optimizer)
    for companion in network.companions if companions else ():
        if companion.optimizer is not None:
            refuse_unknown(companion.optimizer, f" ({companion.name}); or choose companions=keep")


def refuse_missing_initial(network: Network) -> None:
    """Raise ValueError if the initial value of a parameter or buffer is missing."""
    missing = tensors_in(network.module).keys() - network.initial.keys()
    if missing:
        raise ValueError(f"network {network.name!r} has no initial value for {min(missing)!r}")


def refuse_shared(
    method: str,
    network: Network,
    parts: tuple[str, ...],
    advice: str,
    writes: Callable[[nn.Parameter], bool] = lambda parameter: True,
) -> None:
    """Raise ValueError if a parameter that the method writes to in the named parts also belongs to a module outside.

    A module may have several names. A module that has one in the network's other part (encoder or head) is outside.
    """
    inside = {child for part in parts for child in network.module.get_submodule(part).modules()}
    named = (*network.encoder, *network.head)
    others = tuple(
        name for name in named if not any(lies_in(name, (each,)) or lies_in(each, (name,)) for each in parts)
    )
    modules = network.module.named_modules(remove_duplicate=False)
    outside = [(name, child) for name, child in modules if child not in inside or lies_in(name, others)]
    owners = {id(value): (name, key) for name, child in outside for key, value in child._parameters.items()}
    for name, parameter in network.module.named_parameters(remove_duplicate=False):
        if lies_in(name, parts) and id(parameter) in owners and writes(parameter):
            other = ".".join(part for part in owners[id(parameter)] if part)
            raise ValueError(f"{method}: {name!r} of network {network.name!r} is the same weight as {other!r}{advice}")


def renew_around_(network: Network, *, optimizer: bool, companions: bool, copy: bool = False) -> None:
    """Update what belongs to a network with new weights: copy them to the target, reset optimizer and companions.

    An optimizer may also train other networks: only the state of this network's parameters is reset.
    """
    if copy and network.target is not None:
        network.target.load_state_dict(network.module.state_dict())
    if optimizer and network.optimizer is not None:
        renew_(network.optimizer, network.module.parameters())
    for companion in network.companions if companions else ():
        renew_companion_(companion)


@torch.no_grad()
def renew_companion_(companion: Companion) -> None:
    """Reset a companion's parameters to their initial values, and its optimizer."""
    for parameter, value in zip(companion.parameters, companion.initial, strict=True):
        parameter.copy_(value)
    if companion.optimizer is not None:
        renew_(companion.optimizer, companion.parameters)
