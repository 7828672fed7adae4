"""The base class of methods: the functions that the manager calls, and when. A method overrides those it needs."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from torch import Tensor, nn

from ..matrices import Inventory, take_inventory
from ..nearest import choices
from ..network import MethodNetwork, Network

Value = TypeVar("Value")
Renewal = Literal["renew", "keep"]


def option(default: Value, meaning: str, **more: Any) -> Value:
    """Return a field of a method, with its meaning for --help-all, and functions to `read` and `write` it as text."""
    return field(default=default, metadata={"help": meaning, **more})


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method. Its fields are its hyper-parameters, as written on the command line; Literal fields are checked."""

    acts_at_events: ClassVar[bool] = True  # if False, it needs no schedule
    usual_period: ClassVar[int | None] = None  # updates between events by default; None: one event, at half the run
    acts_every_step: ClassVar[bool] = False  # `after_step` is called
    has_penalty: ClassVar[bool] = False  # `penalty` is called
    needs_loss: ClassVar[bool] = False  # `act` runs network.loss
    capturable: ClassVar[bool] = False  # its work at each step has fixed shapes and never waits for the GPU
    watches_units: ClassVar[bool] = False  # `after_step` reads network.activations

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in fields(self):
            value, hint = getattr(self, each.name), hints[each.name]
            if get_origin(hint) is Literal and value not in get_args(hint):
                allowed = choices(str(value), map(str, get_args(hint)))
                raise ValueError(f"{each.name}={value} is not one of {allowed}")

    @property
    def needs_inputs(self) -> bool:
        """Whether `ready` and `act` draw from network.inputs."""
        return False

    def require(self, holds: bool, field: str, what: str) -> None:
        """Raise ValueError with the field, its value and `what`, unless the condition holds."""
        if not holds:
            raise ValueError(f"{field}={getattr(self, field)} {what}")

    def altered(self, values: Mapping[str, Any]) -> Self:
        """Return the same method with other values of some fields: the options written after a method's name."""
        return replace(self, **values)

    def check(self, network: Network) -> None:
        """Raise ValueError if the method could not act on the network. Called when a run starts."""

    def begin(self, network: MethodNetwork) -> None:
        """Create the tensors in network.memory that the method needs from step to step. Called after `check`."""

    def recall(self, network: MethodNetwork, saved: Mapping[str, Tensor]) -> None:
        """Restore a saved memory, given as tensors by their names in network.memory. Called after `begin`.

        What the saved run lacks, such as a layer that was frozen then, stays as `begin` made it, with a warning.
        """
        for key, value in network.memory.items():
            if key in saved:
                value.copy_(saved[key])
        if missing := ", ".join(key for key in network.memory if key not in saved):
            warnings.warn(f"network {network.name!r}: the saved memory lacks {missing}: these begin anew", stacklevel=3)

    def ready(self, network: MethodNetwork) -> None:
        """Raise ValueError if it cannot act on the network now. Called for all networks before any is changed."""

    def inventory(self, module: nn.Module) -> Inventory:
        """Return the matrices that an event's record compares before and after."""
        return take_inventory(module)

    def resets(self, network: Network) -> Callable[[str], bool]:
        """Return a test of names: True for matrices that an event resets to initial values."""
        return lambda name: False

    def notes(self, network: Network) -> list[str]:
        """Return remarks on an event for its reader, one line each. Called after the event."""
        return []

    def restructure(self, network: Network) -> None:
        """Change the network's structure. Called before `act`, and before a checkpoint's tensors are loaded."""

    def act(self, network: MethodNetwork) -> Mapping[str, float] | None:
        """Act at an event, in place. The returned numbers are stored in the event's record."""
        return None

    def after_step(self, network: MethodNetwork) -> None:
        """Act after each gradient step, in place, but not on the target. Called if `acts_every_step`."""

    def penalty(self, network: MethodNetwork) -> Tensor | None:
        """Return a term to add to the network's loss, or None. Called if `has_penalty`."""
        return None

    def figures(self, network: MethodNetwork) -> Mapping[str, float | Tensor]:
        """Return numbers on what the method has done to the network so far; they are logged with the measures."""
        return {}


@dataclass(frozen=True, kw_only=True)
class NoMethod(Method):
    """Change nothing: the control of every experiment."""

    acts_at_events: ClassVar[bool] = False
