"""DQN's hyper-parameters: the values of the FIRE paper's experiments on Atari."""

import math
from dataclasses import dataclass
from typing import Literal

from .limits import check_limits, flag
from .size import Size, dqn_size


@dataclass(frozen=True)
class DQNSettings:
    """DQN's hyper-parameters; the defaults are the published ones."""

    network: Literal["auto", "nature", "minatar", "mlp"] = "auto"
    """auto: nature for images of 36 pixels and more, minatar for smaller ones, mlp for flat vectors."""
    hidden_width: int | None = None
    """Units of each linear hidden layer; unset: 512 for nature, 128 for minatar, 256 for mlp (which has two)."""
    learning_rate: float = 6.25e-5
    """Adam's learning rate, per gradient update."""
    beta1: float = 0.9
    """Adam's decay of the first moment, per gradient update."""
    beta2: float = 0.999
    """Adam's decay of the second moment, per gradient update."""
    adam_epsilon: float = 1.5e-4
    """Added to the root of Adam's second moment."""
    batch_size: int = 32
    """Transitions in the batch of one gradient update."""
    gamma: float = 0.99
    """Discount per decision."""
    target_every: int = 2_000
    """Gradient updates from one copy of the network into its target to the next."""
    double: bool = False
    """Double Q-learning: the network chooses the next action, the target values it."""
    n_steps: int = 1
    """Decisions whose rewards a target adds up before the next value."""
    initial_exploration: float = 1.0
    """Probability of a random action when learning starts."""
    final_exploration: float = 0.01
    """Probability of a random action once it has fallen."""
    exploration_steps: int | None = None
    """Environment steps over which it falls, linearly, from the start of learning on; unset: a tenth of the run's."""
    explore_together: bool = True
    """As published: one draw per step decides for all environments; otherwise each has its own."""
    evaluation_exploration: float = 0.001
    """Probability of a random action in evaluation."""
    clip_rewards: bool | None = None
    """Learn from the sign of rewards; unset: for Atari games only. Reported returns stay as they are."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)
        limits = dict.fromkeys(
            ("hidden_width", "batch_size", "target_every", "n_steps", "exploration_steps"), (1.0, math.inf)
        ) | {
            "learning_rate": (0.0, math.inf),
            "beta1": (0.0, 0.999999),
            "beta2": (0.0, 0.999999),
            "adam_epsilon": (0.0, math.inf),
            "gamma": (0.0, 1.0),
            "initial_exploration": (0.0, 1.0),
            "final_exploration": (0.0, 1.0),
            "evaluation_exploration": (0.0, 1.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{flag(name)} {value} given; allowed is a finite number from {low:g} to {high:g}")
        if self.final_exploration > self.initial_exploration:
            raise ValueError(
                f"--final-exploration {self.final_exploration} given; "
                f"allowed is at most --initial-exploration {self.initial_exploration}"
            )

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """Of the agent for such observations and so many actions."""
        return dqn_size(self.network, observation_shape, actions, self.hidden_width, self.double, self.batch_size)
