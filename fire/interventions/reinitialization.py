"""What the methods share that rewrite weights at an event: where they act, and what starts anew with the weights."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from ..network import Network, refuse_unknown, renew_, renew_companion_, restore_, within
from .intervention import Intervention


@dataclass(frozen=True, kw_only=True)
class Reinitialization(Intervention):
    """Rewrites weights. The defaults are what is published for SAC: the whole network, optimizer and companions new, target a copy."""

    scope: Literal["all", "encoder", "head"] = field(default="all", metadata={"help": "the part of the network it acts on"})
    outside: Literal["keep", "reset"] = field(default="keep", metadata={"help": "the rest of the network: kept, or initial values"})
    optimizer: Literal["renew", "keep"] = field(default="renew", metadata={"help": "the network's optimizer state"})
    companions: Literal["renew", "keep"] = field(default="renew", metadata={"help": "SAC's temperature and its optimizer"})
    target: Literal["copy", "same", "keep"] = field(
        default="copy", metadata={"help": "the target network: a copy of the new one, the same done to it, or kept"}
    )

    @abstractmethod
    def rewrite(self, module: nn.Module, network: Network, touches: Callable[[str], bool]) -> None:
        """Rewrite, in place, what `touches` names in the module, which is the network's own or its target's."""

    def check(self, network: Network) -> None:
        if self.scope != "all" and not network.part(self.scope):
            raise ValueError(f"scope={self.scope}: network {network.name!r} does not say which modules that is; use scope=all")
        if self.optimizer == "renew" and network.optimizer is not None:
            refuse_unknown(network.optimizer)
        missing = network.module.state_dict().keys() - network.initial.keys()
        if missing:
            raise ValueError(f"network {network.name!r} has no initial value of {min(missing)!r}")

    @torch.no_grad()
    def act(self, network: Network) -> None:
        prefixes = network.part(self.scope)
        self._rewrite_all(network.module, network, prefixes)
        if network.target is not None and self.target == "copy":
            network.target.load_state_dict(network.module.state_dict())
        elif network.target is not None and self.target == "same":
            self._rewrite_all(network.target, network, prefixes)
        if network.optimizer is not None and self.optimizer == "renew":
            renew_(network.optimizer)
        if self.companions == "renew":
            for companion in network.companions:
                renew_companion_(companion)

    def _rewrite_all(self, module: nn.Module, network: Network, prefixes: tuple[str, ...]) -> None:
        self.rewrite(module, network, lambda name: within(name, prefixes))
        if self.outside == "reset":
            restore_(module, network.initial, lambda name: not within(name, prefixes))
