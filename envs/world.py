"""The environment of a run, by name and options; training, evaluation and films each make their own copy of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from .atari_names import is_atari
from .atari_settings import AtariSettings
from .registry import make, make_vec


@dataclass(frozen=True)
class World:
    """An environment's name, and the options with which it is made."""

    name: str
    action_repeat: int = 1
    atari: AtariSettings | None = None

    def vector(self, num_envs: int, seed: int = 0) -> VectorEnv[Any, Any, Any]:
        """Make a vector of this environment."""
        return make_vec(self.name, num_envs, seed=seed, **self._options())

    def single(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Make one such environment."""
        return make(self.name, render_mode=render_mode, **self._options())

    @property
    def evaluated(self) -> "World":
        """The same environment for evaluation, where a lost life does not end the episode."""
        return replace(self, atari=self.atari and replace(self.atari, terminal_on_life_loss=False))

    @property
    def frames_per_step(self) -> int | None:
        """The emulator frames of one environment step of an Atari game; None for other environments."""
        return self.atari.frame_skip if self.atari and is_atari(self.name) else None

    @property
    def score_meaning(self) -> str:
        """What 0 and 1 mean in this environment's normalised score."""
        one = "a human's" if is_atari(self.name) else "counts as success"
        return f"0 is a random policy's published return, 1 {one}"

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"action_repeat": self.action_repeat}
        return options | ({"atari": self.atari} if self.atari else {})


def to_environment(space: spaces.Space[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a function that turns an agent's actions, in [-1, 1] or counted from 0, into the environment's own."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return (lambda actions: actions + start) if start else (lambda actions: actions)
    assert isinstance(space, spaces.Box)  # agents refuse all other spaces
    low, high, dtype = space.low, space.high, space.dtype
    if (low == -1).all() and (high == 1).all():
        return lambda actions: actions
    return lambda actions: np.clip(low + (actions + 1) / 2 * (high - low), low, high).astype(dtype)
