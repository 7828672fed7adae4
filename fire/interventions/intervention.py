"""What a method may do, and when it is asked to. A method overrides what it needs; the rest does and costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from torch import Tensor

from ..nearest import nearest
from ..network import Network


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A method. Its fields are its hyper-parameters, spelled on the command line; Literal fields are checked."""

    acts_at_events: ClassVar[bool] = True  # otherwise it needs no schedule
    usual_period: ClassVar[int | None] = None  # updates between events where none are given; None: once, at half a run
    acts_every_step: ClassVar[bool] = False
    has_penalty: ClassVar[bool] = False
    needs_loss: ClassVar[bool] = False  # `act` runs network.loss
    watches_units: ClassVar[bool] = False  # `after_step` looks at network.activations

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            if get_origin(hints[field.name]) is Literal and value not in get_args(hints[field.name]):
                allowed = [str(choice) for choice in get_args(hints[field.name])]
                close = nearest(str(value), allowed)
                raise ValueError(f"{field.name}={value} is not one of {', '.join(allowed)}; nearest is {close}")

    def altered(self, values: Mapping[str, Any]) -> Self:
        """The same method but for some fields, as where a preset's name is followed by options."""
        return replace(self, **values)

    def check(self, network: Network) -> None:
        """Raise ValueError where the method could not act on the network: asked when a run starts."""

    def begin(self, network: Network) -> None:
        """Put what the method keeps from step to step into network.memory: asked once the check has passed."""

    def ready(self, network: Network) -> None:
        """Raise ValueError where it cannot act on the network as it is now: asked of all before one is written to."""

    def restructure(self, network: Network) -> None:
        """Change the network's structure: asked before `act`, and before a checkpoint's tensors are loaded."""

    def act(self, network: Network) -> Mapping[str, float] | None:
        """At an event, in place; what it returns stands in the event's record."""
        return None

    def after_step(self, network: Network) -> None:
        """After each gradient step, in place, but not to the target; asked where `acts_every_step`."""

    def penalty(self, network: Network) -> Tensor | None:
        """A term of the network's loss; asked where `has_penalty`."""
        return None

    def figures(self, network: Network) -> Mapping[str, float | Tensor]:
        """What has become of the network so far, to be logged with the measures."""
        return {}
