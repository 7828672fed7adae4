"""SAC's deterministic policy as a separate module that can be exported."""

import torch
from torch import Tensor, nn

from .networks import Actor
from .statistics import RunningStatistics


class SACPolicy(nn.Module):
    """Raw observations (batch, observation) -> actions in [-1, 1] (batch, action), the tanh of the mean."""

    outputs = ("action",)

    def __init__(self, actor: Actor, statistics: RunningStatistics | None) -> None:
        super().__init__()
        self.actor = actor
        self.statistics = statistics

    def forward(self, observations: Tensor) -> tuple[Tensor, ...]:
        """Return the deterministic actions."""
        inputs = observations.float() if self.statistics is None else self.statistics.normalise(observations)
        mean, _ = self.actor(inputs)
        return (torch.tanh(mean),)
