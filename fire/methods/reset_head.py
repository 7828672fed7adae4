"""Reset of the head: its weights become the run's own initial ones, W <- W_0; the encoder and its state are kept.

Source: "The Primacy Bias in Deep Reinforcement Learning", Nikishin, Schwarzer, D'Oro, Bacon and Courville, ICML 2022,
arXiv 2205.07802. There the new head is drawn at random. Defaults are as published for an actor and a critic with an
encoder (DrQ).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from ..injected import Injected
from ..matrices import last_layers, take_inventory
from ..network import (
    Network,
    lies_in,
    refuse_missing_initial,
    refuse_not_renewable,
    refuse_shared,
    renew_,
    renew_around_,
    restore_,
)
from ..statistics import modules_with_statistics, stale_rows
from .method import Method, Renewal, option


@dataclass(frozen=True, kw_only=True)
class ResetHead(Method):
    """Reset the head to its initial values and keep the encoder: W_head <- W_0."""

    layers: Literal["all", "last"] = option("all", "which layers of the head are reset")
    optimizer: Literal["head", "renew", "keep"] = option(
        "head", "moments and step counts reset: those of the reset layers, all, or none"
    )
    companions: Renewal = option("renew", "such as SAC's temperature")
    target: Literal["same", "copy", "keep"] = option(
        "same", "the target network: reset in the same way, made a copy, or kept"
    )

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no head with weights."""
        if not network.head:
            raise ValueError(f"reset-head: network {network.name!r} names no head")
        what = f"reset-head: the head of network {network.name!r} ({', '.join(network.head)})"
        named = network.module.named_parameters(remove_duplicate=False)
        if not any(lies_in(name, network.head) for name, _ in named):
            raise ValueError(f"{what} has no weights")
        for name in network.head if self.layers == "last" else ():
            take_inventory(network.module.get_submodule(name)).declared(exclude=False)
        if not self._parts(network):
            raise ValueError(f"{what} has no layer with a weight matrix: choose layers=all")
        refuse_shared("reset-head", network, self._parts(network), ", which would be kept")
        refuse_not_renewable(network, optimizer=self.optimizer != "keep", companions=self.companions == "renew")
        refuse_missing_initial(network)

    @torch.no_grad()
    def act(self, network: Network) -> Mapping[str, float]:
        """Reset the head, and return the number of its weights."""
        touches = partial(lies_in, parts=self._parts(network))
        restore_(network.module, network.initial, touches)
        if network.target is not None and self.target == "same":
            restore_(network.target, network.initial, touches)
        named = network.module.named_parameters(remove_duplicate=False)
        reset = list({id(parameter): parameter for name, parameter in named if touches(name)}.values())
        if network.optimizer is not None and self.optimizer == "head":
            renew_(network.optimizer, reset)
        optimizer, companions = self.optimizer == "renew", self.companions == "renew"
        renew_around_(network, optimizer=optimizer, companions=companions, copy=self.target == "copy")
        return {"weights put back": float(sum(parameter.numel() for parameter in reset))}

    def notes(self, network: Network) -> list[str]:
        """Name the modules of the head whose running statistics belong to the weights from before an event."""
        parts = self._parts(network)
        within = [name for name in modules_with_statistics(network.module) if lies_in(name, network.head)]
        return stale_rows(name for name in within if not lies_in(name, parts))

    def _parts(self, network: Network) -> tuple[str, ...]:
        """Return the names of the modules that are reset."""
        if self.layers == "all":
            return network.head
        parts = (part for name in network.head for part in _parts_of(name, network.module.get_submodule(name)))
        return tuple(last for part in parts for last in last_layers(network.module, (part,)))


def _parts_of(name: str, module: nn.Module) -> list[str]:
    """Return the parts of an injected head, or the name of any other module."""
    if not isinstance(module, Injected):
        return [name]
    return [part for key, child in module.named_children() for part in _parts_of(f"{name}.{key}", child)]
