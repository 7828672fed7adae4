"""Reset: W <- W_0, the run's own initial weights and not new random ones. scope=head resets the last layers only.

Source: "The Primacy Bias in Deep Reinforcement Learning", Nikishin et al., ICML 2022, arXiv 2205.07802.
"""

from dataclasses import dataclass

from torch import nn

from ..network import Network, restore_
from .reinitialization import Reinitialization, Touches


@dataclass(frozen=True, kw_only=True)
class Reset(Reinitialization):
    """Reset weights to their initial values: W <- W_0."""

    def check(self, network: Network) -> None:
        """Raise ValueError if nothing can be reset."""
        super().check(network)
        self.check_reach(network)

    def rewrite(self, module: nn.Module, network: Network, touches: Touches) -> None:
        """Restore the run's initial values."""
        restore_(module, network.initial, touches)

    def stale(self, network: Network) -> list[str]:
        """Leave out the statistics that are reset with the weights."""
        scope = self.scoped(network)
        return [name for name in super().stale(network) if not scope(name)]
