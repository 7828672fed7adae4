"""The interfaces of an agent, of its settings, and of the record that describes it to a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from fire_rl.fire import Method, Network, PlasticityManager
from fire_rl.replay import Batch

from .limits import check_limits
from .size import Size


class Agent(Protocol):
    """An agent. Its functions never read a clock, a file, an environment or the command line."""

    device: torch.device

    def observe(self, observations: np.ndarray) -> None:
        """Add the observations that the agent will act on to its running statistics."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Return actions for a batch of observations; without exploration no random numbers are drawn."""

    def random_actions(self, count: int) -> np.ndarray:
        """Return random actions, for the time before learning starts."""

    def update(self, batches: Batch, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """Take one gradient step on each of K batches; return the mean metrics, still on the device."""

    def losses(self, batch: Batch, seed: int) -> Mapping[str, Callable[[], Tensor]]:
        """Return for each network a function that computes its training loss on one batch, without side effects.

        Random noise in a loss comes from `seed`, not from the agent's own generators.
        """

    def plastic(self) -> tuple[Network, ...]:
        """Return the networks that plasticity methods may act on."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, as named tensors."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved state, in place."""


@dataclass(frozen=True)
class AgentSettings:
    """The hyper-parameters and functions that a run needs from any agent's settings; agents override them."""

    batch_size = 256  # transitions in the batch of one gradient update
    learning_rate = 1e-3
    evaluation_exploration = 0.0  # probability of a random action in evaluation
    n_steps = 1  # decisions whose rewards are summed in a stored transition

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        check_limits(self)

    def resolved(self, steps: int) -> Self:
        """Return the settings with values filled in that depend on the run's length in environment steps."""
        return self

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """Return the agent's size by arithmetic, to refuse a run that needs too much memory; zeros if it is unknown."""
        return Size(0, 0, 0)

    def rewards_are_clipped(self, atari: bool) -> bool:
        """Whether the agent learns from the sign of rewards."""
        return False


class Surroundings(NamedTuple):
    """The environment for which an agent is built."""

    name: str  # of the environment, for messages
    observations: gym.Space[Any]  # of one environment
    actions: gym.Space[Any]
    episode_steps: int | None  # environment steps after which an episode ends
    action_repeat: int  # environment steps per decision

    @property
    def action_count(self) -> int:
        """The number of actions to choose from, or for continuous actions the number of their dimensions."""
        actions = self.actions
        return int(actions.n if isinstance(actions, spaces.Discrete) else np.prod(actions.shape or ()))


class PresetValues(NamedTuple):
    """A named preset: values by field, of the run, the agent or the Atari game."""

    meaning: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """The description of an agent, with everything that is specific to it."""

    settings: type[AgentSettings]
    require: Callable[[Surroundings], object]  # raises ValueError if the agent cannot learn in this environment
    build: Callable[[Surroundings, Any, np.random.SeedSequence, torch.device], Agent]  # the second argument: settings
    published: Mapping[str, Method]  # presets of methods as published for this agent, by the method's name
    presets: Mapping[str, PresetValues]  # the first is the default
    description: str  # for --help-all
    frames: bool = False  # whether it can learn from stacks of frames, as in Atari games, and not only flat vectors
    actions: Literal["any", "continuous", "discrete"] = "any"  # the kind of actions that it can choose
