"""What a method may do, and when it is asked to. A method overrides what it needs; the rest does nothing and costs nothing."""

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import ClassVar, Literal, get_args, get_origin, get_type_hints

from torch import Tensor

from ..network import Network


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A method; its fields are its hyper-parameters, checked against their Literal types, and spelled on the command line."""

    acts_every_step: ClassVar[bool] = False
    has_penalty: ClassVar[bool] = False

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            allowed, value = get_args(hints[field.name]), getattr(self, field.name)
            if get_origin(hints[field.name]) is Literal and value not in allowed:
                nearest = get_close_matches(str(value), map(str, allowed), n=1, cutoff=0.0)[0]
                raise ValueError(f"{field.name}={value} is not one of {', '.join(map(str, allowed))}; nearest is {nearest}")

    def check(self, network: Network) -> None:
        """Raise ValueError where the method could not act on this network: asked at the start of a run, not at its middle."""

    def restructure(self, network: Network) -> None:
        """Change the network's structure: asked before `act`, and when a checkpoint is loaded once per event it records, before its tensors."""

    def act(self, network: Network) -> None:
        """At an event, in place."""

    def after_step(self, network: Network) -> None:
        """After each gradient step, in place; only asked where `acts_every_step`."""

    def penalty(self, network: Network) -> Tensor | None:
        """A term of the network's loss; only asked where `has_penalty`."""
        return None
