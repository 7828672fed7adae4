"""Soft actor-critic's hyper-parameters: the values of the FIRE paper's experiments on HumanoidBench."""

import math
from dataclasses import dataclass

from ..agent import AgentSettings
from ..limits import bounded
from ..size import Size
from .size import sac_size


@dataclass(frozen=True)
class SACSettings(AgentSettings):
    """Soft actor-critic's hyper-parameters; the defaults are the published ones."""

    critic_width: int = bounded(512, 1)
    """Units of the critic's residual stream; the hidden layers of its blocks are four times as wide."""
    critic_blocks: int = bounded(2, 1)
    """Residual blocks of each critic."""
    critics: int = bounded(2, 1)
    """Critics in the ensemble; targets and the actor's loss use their minimum."""
    actor_width: int = bounded(128, 1)
    """Units of the actor's residual stream; the hidden layers of its blocks are four times as wide."""
    actor_blocks: int = bounded(1, 1)
    """Residual blocks of the actor."""
    learning_rate: float = bounded(1e-4, 0)
    """AdamW's learning rate for actor, critic and temperature, per gradient update."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """AdamW's decay of the first moment, per gradient update."""
    beta2: float = bounded(0.999, 0, 0.999999)
    """AdamW's decay of the second moment, per gradient update."""
    epsilon: float = bounded(1e-8, 0)
    """Added to the square root of AdamW's second moment."""
    weight_decay: float = bounded(1e-2, 0)
    """AdamW's decoupled weight decay on every actor and critic parameter (none on the temperature)."""
    batch_size: int = bounded(256, 1)
    """Transitions in the batch of one gradient update."""
    gamma: float | None = bounded(None, 0, 1)
    """Discount per decision; unset: (L/5 - 1) / (L/5), limited to [0.95, 0.995], for episodes of L decisions."""
    target_rate: float = bounded(0.005, 0, 1)
    """Share of the critic in the target critic's moving average, per update (tau)."""
    initial_temperature: float = bounded(0.01, 1e-30)
    """Entropy temperature (alpha) at the start and after a reset."""
    target_entropy_scale: float = bounded(-0.5, -math.inf)
    """Target entropy as a multiple of the number of action dimensions, in nats."""
    normalize_observations: bool = True
    """Normalise observations by their running mean and variance, which are not updated in evaluation."""

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """Return the agent's size for such observations and this number of action dimensions."""
        actor, critic = (self.actor_width, self.actor_blocks), (self.critic_width, self.critic_blocks)
        return sac_size(math.prod(observation_shape), actions, actor, critic, self.critics, self.batch_size)

    def discount(self, episode_decisions: float | None) -> float:
        """Return the discount; if it is unset, by the published rule, or 0.99 if the episode's length is unknown."""
        if self.gamma is not None:
            return self.gamma
        if episode_decisions is None:
            return 0.99
        return max(min(1 - 5 / episode_decisions, 0.995), 0.95)
