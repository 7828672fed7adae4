"""DQN's hyper-parameters: the values of the FIRE paper's experiments on Atari."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from ..agent import AgentSettings
from ..limits import bounded
from ..size import Size
from .size import dqn_size


@dataclass(frozen=True)
class DQNSettings(AgentSettings):
    """DQN's hyper-parameters; the defaults are the published ones."""

    network: Literal["auto", "nature", "minatar", "mlp"] = "auto"
    """auto: nature for images of 36x36 pixels or more, minatar for smaller images, mlp for flat vectors."""
    hidden_width: int | None = bounded(None, 1)
    """Units of each linear hidden layer; unset: 512 for nature, 128 for minatar, 256 for mlp (which has two)."""
    learning_rate: float = bounded(6.25e-5, 0)
    """Adam's learning rate, per gradient update."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """Adam's decay of the first moment, per gradient update."""
    beta2: float = bounded(0.999, 0, 0.999999)
    """Adam's decay of the second moment, per gradient update."""
    adam_epsilon: float = bounded(1.5e-4, 0)
    """Added to the square root of Adam's second moment."""
    batch_size: int = bounded(32, 1)
    """Transitions in the batch of one gradient update."""
    gamma: float = bounded(0.99, 0, 1)
    """Discount per decision."""
    target_every: int = bounded(2_000, 1)
    """Gradient updates between two copies of the network into its target."""
    double: bool = False
    """Double Q-learning: the network chooses the next action, and the target network evaluates it."""
    n_steps: int = bounded(1, 1)
    """Decisions whose rewards are summed in a target before the value of the next state (n-step returns)."""
    initial_exploration: float = bounded(1.0, 0, 1)
    """Probability of a random action when learning starts."""
    final_exploration: float = bounded(0.01, 0, 1)
    """Probability of a random action after --exploration-steps."""
    exploration_steps: int | None = bounded(None, 1)
    """Environment steps over which it decreases linearly, from the start of learning; unset: a tenth of the run."""
    explore_together: bool = True
    """One random draw per step decides whether all environments explore, as published; otherwise one draw for each."""
    evaluation_exploration: float = bounded(0.001, 0, 1)
    """Probability of a random action in evaluation."""
    clip_rewards: bool | None = None
    """Learn from the sign of rewards; unset: for Atari games only. Reported returns are not clipped."""

    def check(self) -> None:
        """Raise ValueError if a value is not allowed, or if exploration would grow."""
        super().check()
        if self.final_exploration > self.initial_exploration:
            raise ValueError(
                f"--final-exploration {self.final_exploration} given; "
                f"allowed is at most --initial-exploration {self.initial_exploration}"
            )

    def resolved(self, steps: int) -> Self:
        """Return the settings with --exploration-steps written out: a tenth of the run by default."""
        return self if self.exploration_steps is not None else replace(self, exploration_steps=max(1, steps // 10))

    def rewards_are_clipped(self, atari: bool) -> bool:
        """Whether the agent learns from the sign of rewards; by default in Atari games only."""
        return atari if self.clip_rewards is None else self.clip_rewards

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """Return the agent's size for such observations and this number of actions."""
        return dqn_size(self.network, observation_shape, actions, self.hidden_width, self.double, self.batch_size)
