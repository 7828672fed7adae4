"""DQN's greedy policy as a separate module that can be exported."""

from torch import Tensor, nn

from .networks import QNetwork


class DQNPolicy(nn.Module):
    """Raw observations (batch, *observation) -> the greedy actions, counted from 0, and the values of all actions."""

    outputs = ("action", "action_values")

    def __init__(self, network: QNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, observations: Tensor) -> tuple[Tensor, ...]:
        """Return the greedy actions and the values of all actions."""
        # The network's own forward also reorders channels in memory for fast training, which an export does not need.
        inputs = observations.float() * self.network.scale
        values = self.network.head(self.network.encoder(inputs))
        return values.argmax(1), values
