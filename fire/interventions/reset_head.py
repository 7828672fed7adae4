"""Reset of the head: its weights W <- W_0, the run's own initial ones; the encoder stays, and all that belongs to it.

Source: "The Primacy Bias in Deep Reinforcement Learning", Nikishin, Schwarzer, D'Oro, Bacon and Courville, ICML 2022,
arXiv 2205.07802. There a head is a new draw. Defaults as published for an actor and a critic behind an encoder (DrQ).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ..network import (
    Network,
    refuse_missing_initial,
    refuse_unknown,
    renew_around_,
    restore_,
    within,
)
from .intervention import Intervention


@dataclass(frozen=True, kw_only=True)
class ResetHead(Intervention):
    """Put the head's initial values back, and keep the encoder: W_head <- W_0."""

    layers: Literal["all", "last"] = field(default="all", metadata={"help": "of the head, those put back"})
    optimizer: Literal["head", "renew", "keep"] = field(
        default="head", metadata={"help": "whose moments and step counts start anew: those put back, all, none"}
    )
    companions: Literal["renew", "keep"] = field(default="renew", metadata={"help": "as SAC's temperature"})
    target: Literal["same", "copy", "keep"] = field(
        default="same", metadata={"help": "the target network: the same done to it, a copy, or kept"}
    )

    def check(self, network: Network) -> None:
        if not network.head:
            raise ValueError(f"reset-head: network {network.name!r} names no head")
        if self.optimizer != "keep" and network.optimizer is not None:
            refuse_unknown(network.optimizer)
        refuse_missing_initial(network)

    @torch.no_grad()
    def act(self, network: Network) -> Mapping[str, float]:
        prefixes = self._prefixes(network)

        def touches(name: str) -> bool:
            return within(name, prefixes)

        restore_(network.module, network.initial, touches)
        if network.target is not None and self.target == "same":
            restore_(network.target, network.initial, touches)
        if network.target is not None and self.target == "copy":
            network.target.load_state_dict(network.module.state_dict())
        put_back = [parameter for name, parameter in network.module.named_parameters() if touches(name)]
        if network.optimizer is not None and self.optimizer == "head":
            for parameter in put_back:
                for value in network.optimizer.state.get(parameter, {}).values():
                    if isinstance(value, Tensor):
                        value.zero_()
        renew_around_(network, optimizer=self.optimizer == "renew", companions=self.companions == "renew")
        return {"weights put back": float(sum(parameter.numel() for parameter in put_back))}

    def _prefixes(self, network: Network) -> tuple[str, ...]:
        """Names of the modules that are put back."""
        if self.layers == "all":
            return network.head
        return tuple(last for name in network.head for last in _last(name, network.module.get_submodule(name)))


def _last(name: str, module: nn.Module) -> Iterator[str]:
    """The last layer that has weights; of an injected head, that of each of its parts."""
    if getattr(module, "constant_parts", ()):
        for key, part in module.named_children():
            yield from _last(f"{name}.{key}", part)
        return
    holders = [key for key, child in module.named_modules(prefix=name) if any(True for _ in child.parameters(False))]
    yield from holders[-1:]
