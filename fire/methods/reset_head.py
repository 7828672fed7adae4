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
from ..network import Network, lies_in, refuse_missing_initial, refuse_not_renewable, renew_, renew_around_, restore_
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
        if not any(lies_in(name, network.head) for name, _ in network.module.named_parameters()):
            head = ", ".join(network.head)
            raise ValueError(f"reset-head: the head of network {network.name!r} ({head}) has no weights")
        refuse_not_renewable(network, optimizer=self.optimizer != "keep", companions=self.companions == "renew")
        refuse_missing_initial(network)

    @torch.no_grad()
    def act(self, network: Network) -> Mapping[str, float]:
        """Reset the head, and return the number of its weights."""
        touches = partial(lies_in, parts=self._parts(network))
        restore_(network.module, network.initial, touches)
        if network.target is not None and self.target == "same":
            restore_(network.target, network.initial, touches)
        reset = [parameter for name, parameter in network.module.named_parameters() if touches(name)]
        if network.optimizer is not None and self.optimizer == "head":
            renew_(network.optimizer, reset)
        optimizer, companions = self.optimizer == "renew", self.companions == "renew"
        renew_around_(network, optimizer=optimizer, companions=companions, copy=self.target == "copy")
        return {"weights put back": float(sum(parameter.numel() for parameter in reset))}

    def _parts(self, network: Network) -> tuple[str, ...]:
        """Return the names of the modules that are reset."""
        if self.layers == "all":
            return network.head
        return tuple(last for name in network.head for last in _last(name, network.module.get_submodule(name)))


def _last(name: str, module: nn.Module) -> list[str]:
    """Return the last layer with weights; in an injected head, the last layer of each of its parts."""
    if isinstance(module, Injected):
        return [last for key, part in module.named_children() for last in _last(f"{name}.{key}", part)]
    return [key for key, child in module.named_modules(prefix=name) if any(True for _ in child.parameters(False))][-1:]
