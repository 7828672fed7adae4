"""Decoupled weight decay: W <- (1 - learning rate x strength) W after every step, without changing the gradient.

Source: "Decoupled Weight Decay Regularization", Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101; 1e-2 is the default
of torch's AdamW. AdamW decays the weights before its step, this regularizer after it. The gradient is therefore that at
the decayed weights, and a step differs by learning rate x strength times the optimizer's step (1e-10 at SAC's learning
rates). SAC's own AdamW already decays by 1e-2, as published, and this adds to it; DQN's Adam does not decay.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ..methods.method import option
from ..network import Network
from .regularizer import Regularizer


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Regularizer):
    """Shrink every trained parameter after each step, as AdamW does: W <- (1 - learning rate x strength) W."""

    acts_every_step: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    strength: float = option(
        1e-2, "times the learning rate (with Muon: of its Adam); it adds to the optimizer's own weight decay"
    )

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no optimizer."""
        if network.optimizer is None:
            raise ValueError(f"weight-decay: network {network.name!r} has no optimizer, whose learning rate it needs")

    @torch.no_grad()
    def after_step(self, network: Network) -> None:
        """Shrink the parameters that this step has trained."""
        assert network.optimizer is not None
        if not self.strength:
            return
        own, shrunk = {id(parameter) for parameter in network.module.parameters()}, False
        for group in network.optimizer.param_groups:
            given = [value for value in group["params"] if value.requires_grad and id(value) in own]
            trained = [value for value in given if value.grad is not None]
            if trained:
                torch._foreach_mul_(trained, 1 - group["lr"] * self.strength)
                shrunk = True
        if not shrunk and any(parameter.requires_grad for parameter in network.module.parameters()):
            raise ValueError(
                f"weight-decay: no parameter of network {network.name!r} has a gradient: call after_step before "
                "zero_grad"
            )
