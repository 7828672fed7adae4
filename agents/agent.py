"""What a run asks of an agent, of its settings, and of the record that describes it."""

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
    """Few verbs. Nothing behind them reads a clock, a file, an environment or the command line."""

    device: torch.device

    def observe(self, observations: np.ndarray) -> None:
        """Take the observations about to be acted on into the running statistics."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Actions for a batch of observations; without exploration no random stream moves."""

    def random_actions(self, count: int) -> np.ndarray:
        """Actions of the warm-up, before learning starts."""

    def update(self, batches: Batch, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """One gradient step on each of K batches; the mean metrics, still on the device."""

    def losses(self, batch: Batch, seed: int) -> Mapping[str, Callable[[], Tensor]]:
        """By network, a function that computes its training loss on one batch; nothing changes, no stream moves."""

    def plastic(self) -> tuple[Network, ...]:
        """The networks that plasticity methods may act on."""

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved state, in place."""


@dataclass(frozen=True)
class AgentSettings:
    """What a run asks of the hyper-parameters of any agent; an agent that needs other answers overrides them."""

    batch_size = 256  # transitions in the batch of one gradient update
    learning_rate = 1e-3
    evaluation_exploration = 0.0  # probability of a random action in evaluation
    n_steps = 1  # decisions whose rewards a stored transition adds up

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)

    def resolved(self, steps: int) -> Self:
        """The same with what depends on the run's length, in environment steps, spelled out."""
        return self

    def size(self, observation_shape: tuple[int, ...], actions: int) -> Size:
        """How large the agent is, from arithmetic alone, so that what no memory holds is refused; 0 where unknown."""
        return Size(0, 0, 0)

    def rewards_are_clipped(self, atari: bool) -> bool:
        """Whether the agent learns from the sign of rewards."""
        return False


class Surroundings(NamedTuple):
    """What an agent is built for."""

    name: str  # of the environment, for messages
    observations: gym.Space[Any]  # of one environment
    actions: gym.Space[Any]
    episode_steps: int | None  # environment steps after which an episode ends
    action_repeat: int  # environment steps of a decision

    @property
    def action_count(self) -> int:
        """How many actions there are to choose from, or how many numbers make one."""
        return (
            int(self.actions.n) if isinstance(self.actions, spaces.Discrete) else int(np.prod(self.actions.shape or ()))
        )


class PresetValues(NamedTuple):
    """Settings under a name: values by field, of the run, the agent, or the Atari game."""

    meaning: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """An agent as it is described before one is built: all that is its own."""

    settings: type[AgentSettings]
    require: Callable[[Surroundings], object]  # raises ValueError, in one line, where it cannot learn there
    build: Callable[[Surroundings, Any, np.random.SeedSequence, torch.device], Agent]  # the second: its settings
    published: Mapping[str, Method]  # what the publications do with this agent, by the method's name
    presets: Mapping[str, PresetValues]  # the first is the one where none is named
    description: str  # for --help-all
    frames: bool = False  # whether it learns from frames and stacks of them, as of Atari games, or from flat vectors
    actions: Literal["any", "continuous", "countable"] = "any"  # those that it can choose from
