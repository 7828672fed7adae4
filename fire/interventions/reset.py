"""Reset: W <- W_0, the run's own initial weights rather than a new draw.

Source: Nikishin et al., "The Primacy Bias in Deep Reinforcement Learning", ICML 2022, arXiv 2205.07802; scope=head resets the last layers only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..network import Network, restore_
from .reinitialization import Reinitialization


@dataclass(frozen=True, kw_only=True)
class Reset(Reinitialization):
    """Put initial values back: W <- W_0."""

    def rewrite(self, module: nn.Module, network: Network, touches: Callable[[str], bool]) -> None:
        restore_(module, network.initial, touches)
