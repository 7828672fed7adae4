"""Soft actor-critic's hyper-parameters: the values of the FIRE paper's experiments on HumanoidBench."""

import math
from dataclasses import dataclass

from .limits import check_limits, flag
from .size import Size, sac_size


@dataclass(frozen=True)
class SACSettings:
    """Soft actor-critic's hyper-parameters; the defaults are the published ones."""

    critic_width: int = 512
    """Units of the critic's residual stream; its blocks are four times as wide inside."""
    critic_blocks: int = 2
    """Residual blocks of each critic."""
    critics: int = 2
    """Critics in the ensemble; targets and the actor use their minimum."""
    actor_width: int = 128
    """Units of the actor's residual stream; its blocks are four times as wide inside."""
    actor_blocks: int = 1
    """Residual blocks of the actor."""
    learning_rate: float = 1e-4
    """AdamW's learning rate for actor, critic and temperature, per gradient update."""
    beta1: float = 0.9
    """AdamW's decay of the first moment, per gradient update."""
    beta2: float = 0.999
    """AdamW's decay of the second moment, per gradient update."""
    epsilon: float = 1e-8
    """Added to the root of AdamW's second moment."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay on every actor and critic parameter (none on the temperature)."""
    batch_size: int = 256
    """Transitions in the batch of one gradient update."""
    gamma: float | None = None
    """Discount per decision; unset: (L/5 - 1) / (L/5) within [0.95, 0.995], L the episode's decisions."""
    target_rate: float = 0.005
    """Share of the critic that moves into the target critic after each update (tau)."""
    initial_temperature: float = 0.01
    """Entropy temperature (alpha) at the start and after a renewal."""
    target_entropy_scale: float = -0.5
    """Target entropy as a multiple of the action's dimensions, in nats."""
    normalize_observations: bool = True
    """Normalise observations by running mean and variance, frozen in evaluation."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)
        whole = ("critic_width", "critic_blocks", "critics", "actor_width", "actor_blocks", "batch_size")
        limits = dict.fromkeys(whole, (1.0, math.inf)) | {
            "learning_rate": (0.0, math.inf),
            "weight_decay": (0.0, math.inf),
            "epsilon": (0.0, math.inf),
            "beta1": (0.0, 1.0),
            "beta2": (0.0, 1.0),
            "gamma": (0.0, 1.0),
            "target_rate": (0.0, 1.0),
            "initial_temperature": (1e-30, math.inf),
            "target_entropy_scale": (-math.inf, math.inf),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{flag(name)} {value} given; allowed is a finite number from {low:g} to {high:g}")

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """Of the agent for such observations and so many dimensions of its actions."""
        actor, critic = (self.actor_width, self.actor_blocks), (self.critic_width, self.critic_blocks)
        return sac_size(math.prod(observation_shape), actions, actor, critic, self.critics, self.batch_size)

    def discount(self, episode_decisions: float | None) -> float:
        """The discount, by the published rule where none is set; 0.99 where the episode's length is unknown."""
        if self.gamma is not None:
            return self.gamma
        if episode_decisions is None:
            return 0.99
        return max(min(1 - 5 / episode_decisions, 0.995), 0.95)
