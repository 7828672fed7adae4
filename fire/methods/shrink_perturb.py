"""Shrink and perturb: W <- keep W + (1 - keep) W_0 for every parameter, where W_0 is the run's own initial value.

Source: "On Warm-Starting Neural Network Training", Ash and Adams, NeurIPS 2020, arXiv 1910.08475. As in the experiments
of FIRE (arXiv 2602.08040), keep = 0.2, and biases and norms are included.
"""

from dataclasses import dataclass

from torch import nn

from ..network import Network
from .method import option
from .reinitialization import Reinitialization, Touches


@dataclass(frozen=True, kw_only=True)
class ShrinkPerturb(Reinitialization):
    """Mix weights with their initial values: W <- keep W + (1 - keep) W_0."""

    keep: float = option(0.2, "share of the old weights, 0 to 1")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.keep <= 1.0, "keep", "must lie between 0 and 1")

    def check(self, network: Network) -> None:
        """Raise ValueError if nothing can be shrunk."""
        super().check(network)
        self.check_reach(network)

    def rewrite(self, module: nn.Module, network: Network, touches: Touches) -> None:
        """Mix the weights with the run's initial values."""
        named = module.named_parameters(remove_duplicate=False)
        shared = {id(parameter): (name, parameter) for name, parameter in named if touches(name)}  # each once
        for name, parameter in shared.values():
            parameter.mul_(self.keep).add_(network.initial[name], alpha=1.0 - self.keep)
