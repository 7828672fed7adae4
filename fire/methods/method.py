"""What a method may do, and when it is asked to. A method overrides what it needs; the rest does nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from torch import Tensor, nn

from ..matrices import Inventory, take_inventory
from ..nearest import nearest
from ..network import MethodNetwork, Network


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method. Its fields are its hyper-parameters, spelled on the command line; Literal fields are checked."""

    acts_at_events: ClassVar[bool] = True  # otherwise it needs no schedule
    usual_period: ClassVar[int | None] = None  # updates between events without a schedule; None: once, at half a run
    acts_every_step: ClassVar[bool] = False
    has_penalty: ClassVar[bool] = False
    needs_loss: ClassVar[bool] = False  # `act` runs network.loss
    capturable: ClassVar[bool] = False  # what it does at every step has fixed shapes and reads nothing on the host
    watches_units: ClassVar[bool] = False  # `after_step` looks at network.activations

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            if get_origin(hints[field.name]) is Literal and value not in get_args(hints[field.name]):
                allowed = [str(choice) for choice in get_args(hints[field.name])]
                close = nearest(str(value), allowed)
                raise ValueError(f"{field.name}={value} is not one of {', '.join(allowed)}; nearest is {close}")

    def require(self, holds: bool, field: str, what: str) -> None:
        """Raise ValueError, with the field and its value, if the condition does not hold."""
        if not holds:
            raise ValueError(f"{field}={getattr(self, field)} {what}")

    def altered(self, values: Mapping[str, Any]) -> Self:
        """The same method with other values of some fields: options that follow a preset's name."""
        return replace(self, **values)

    def check(self, network: Network) -> None:
        """Raise ValueError if the method could not act on the network. Called when a run starts."""

    def begin(self, network: MethodNetwork) -> None:
        """Put what the method keeps from step to step into network.memory. Called after `check`."""

    def recall(self, network: MethodNetwork, saved: Mapping[str, Tensor]) -> None:
        """Take over a memory that was saved. Called after `begin`, with what it had in network.memory by name."""
        for key, value in network.memory.items():
            value.copy_(saved[key])

    def ready(self, network: MethodNetwork) -> None:
        """Raise ValueError if it cannot act on the network as it is now. Called for all before one is changed."""

    def inventory(self, module: nn.Module) -> Inventory:
        """The matrices that an event's record compares before and after."""
        return take_inventory(module)

    def resets(self, network: Network) -> Callable[[str], bool]:
        """Which matrices, by name, an event gives their initial values beside what the method does to the others."""
        return lambda name: False

    def notes(self, network: Network) -> list[str]:
        """What a reader of an event should know of the network beside the figures, in a line each. Called after it."""
        return []

    def restructure(self, network: Network) -> None:
        """Change the network's structure. Called before `act`, and before a checkpoint's tensors are loaded."""

    def act(self, network: MethodNetwork) -> Mapping[str, float] | None:
        """Act at an event, in place. What is returned stands in the event's record."""
        return None

    def after_step(self, network: MethodNetwork) -> None:
        """Act after each gradient step, in place, but not on the target. Called if `acts_every_step`."""

    def penalty(self, network: MethodNetwork) -> Tensor | None:
        """A term of the network's loss. Called if `has_penalty`."""
        return None

    def figures(self, network: MethodNetwork) -> Mapping[str, float | Tensor]:
        """What the method has done to the network so far, in numbers that are logged with the measures."""
        return {}


@dataclass(frozen=True, kw_only=True)
class NoMethod(Method):
    """Change nothing."""  # the control of every experiment: its events only measure

    acts_at_events: ClassVar[bool] = False
