"""A network as an agent hands it over: everything that changes together when its weights are rewritten, in place.

Captured graphs hold addresses, so parameters, targets and optimizer states keep theirs: copy_ and zero_, no new tensor.
Only a method that changes structure exchanges tensors; a graph must be captured anew after it.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .units import HiddenLayer

Loss: TypeAlias = Callable[[], Tensor]


@runtime_checkable
class LossByBatch(Protocol):
    """A loss that can also go through data batch by batch, for methods that look at more than fits into one."""

    def __call__(self) -> Tensor:
        """The training loss on some examples."""

    def batches(self) -> Iterable[Loss]:
        """One pass over the data: the loss on each batch, to be called before the next is asked for."""


# Optimizers whose state is all zeros before their first step, so that zeroing it makes them new. One of another class
# says the same of itself by a class attribute, starts_at_zero = True.
ZERO_START = tuple(
    getattr(torch.optim, name)
    for name in ("Adam", "AdamW", "Adamax", "RAdam", "RMSprop", "Adadelta", "SGD", "Muon")
    if hasattr(torch.optim, name)
)


@dataclass(frozen=True)
class Companion:
    """Parameters beside a network that start anew with it, as SAC's temperature does."""

    name: str
    parameters: tuple[Tensor, ...]
    initial: tuple[Tensor, ...]
    optimizer: Optimizer | None = None


@dataclass(frozen=True)
class Network:
    """One network and all that belongs to it, as an agent hands it over.

    `initial` is the run's own initial state_dict, cloned, in a dict that grows with the structure; `encoder` and `head`
    are the names of modules.
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
    """A network as the manager gives it to one method, with what it keeps for that method.

    `loss` runs the module on examples and returns its training loss; it is there at events. For a method that watches
    units, `layers` are the hidden layers and `activations` what they did in the last forward pass, by the layer's name.
    `memory` holds what the method keeps from step to step; it and the random stream `generator` are saved with the run.
    The stream is on the CPU; on the network's device for methods that act at every step and can be recorded.
    `prepared` is for what `ready` has found and `act` needs again: empty at each event, and not saved.
    """

    loss: Loss | None = None
    layers: tuple[HiddenLayer, ...] = ()
    activations: Mapping[str, Tensor] = field(default_factory=dict)
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator | None = None
    prepared: MutableMapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, network: Network, **kept: Any) -> "MethodNetwork":
        return cls(**{field.name: getattr(network, field.name) for field in fields(Network)}, **kept)


def lies_in(name: str, parts: tuple[str, ...]) -> bool:
    """Whether a parameter or a matrix, by its name, lies in one of the named modules."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


@torch.no_grad()
def restore_(module: nn.Module, initial: Mapping[str, Tensor], touches: Callable[[str], bool]) -> None:
    """Initial values back into every parameter and buffer that `touches` says yes to."""
    for name, value in module.state_dict().items():
        if touches(name):
            value.copy_(initial[name])


@torch.no_grad()
def renew_(optimizer: Optimizer, parameters: Iterable[Tensor] | None = None) -> None:
    """Make moments and step counts new, of all parameters or of some. Learning rates stay as a schedule set them."""
    refuse_unknown(optimizer)
    for parameter in tuple(optimizer.state) if parameters is None else parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor):
                value.zero_()


@torch.no_grad()
def exchange_(optimizer: Optimizer, before: Iterable[Tensor], after: Iterable[Tensor]) -> None:
    """Other parameters in the places of some, in the same lists, with state of the same kind that is new."""
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
    """Only zeroing the state of a known kind is known to make it new."""
    kind = type(optimizer).__name__
    declared = vars(type(optimizer)).get("starts_at_zero", False)
    if type(optimizer) not in ZERO_START and not declared:  # a subclass may keep state that does not start at zero
        known = ", ".join(kind.__name__ for kind in ZERO_START)
        raise ValueError(f"optimizer {kind} cannot be renewed in place; known are {known}{advice}")
    if any(group.get("dampening") for group in optimizer.param_groups):
        raise ValueError(f"optimizer {kind} with dampening cannot be renewed in place{advice}")


def refuse_missing_initial(network: Network) -> None:
    missing = network.module.state_dict().keys() - network.initial.keys()
    if missing:
        raise ValueError(f"network {network.name!r} has no initial value of {min(missing)!r}")


def renew_around_(network: Network, *, optimizer: bool, companions: bool, copy: bool = False) -> None:
    """What follows a network's new weights: a target that is a copy, its own optimizer, its companions with theirs."""
    if copy and network.target is not None:
        network.target.load_state_dict(network.module.state_dict())
    if optimizer and network.optimizer is not None:
        renew_(network.optimizer)
    for companion in network.companions if companions else ():
        renew_companion_(companion)


@torch.no_grad()
def renew_companion_(companion: Companion) -> None:
    for parameter, value in zip(companion.parameters, companion.initial, strict=True):
        parameter.copy_(value)
    if companion.optimizer is not None:
        renew_(companion.optimizer)
