"""Several robots in one task as a Gymnasium vector environment, stepped by MuJoCo's native threads."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ..same_step import members_to_reset, with_ends
from ..seeding import new_generator, seeds_for_each
from ..state_checks import State
from .physics import Array
from .simulation import Simulation, named
from .spaces import action_space, metadata, observation_space
from .task import Task


class HumanoidVectorEnv(VectorEnv[Array, NDArray[np.float32], NDArray[Any]]):
    """`num_envs` robots. Where an episode ends, the next one begins in the same step, and `final_obs` holds the last
    observation of the one that ended."""

    def __init__(self, task: Task, num_envs: int, seed: int | None, action_repeat: int, threads: int) -> None:
        self.metadata = {**metadata(action_repeat), "autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        generators = [new_generator(one) for one in seeds_for_each(seed, num_envs)]
        self.simulation = Simulation(task, generators, action_repeat, threads)
        self.single_observation_space = observation_space(self.simulation)
        self.single_action_space = action_space(self.simulation.physics)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        everyone = np.ones(num_envs, dtype=np.bool_)
        everyone.flags.writeable = False  # shared by all info dictionaries
        self._masks = {"_" + part: everyone for part in self.simulation.judge().parts}
        self._begun = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode in every environment, or in those of the option `reset_mask`; a single seed gives each its
        own, a list has one for each."""
        seeds, chosen = seeds_for_each(seed, self.num_envs), members_to_reset(options, self.num_envs, self._begun)
        for row in np.flatnonzero(chosen).tolist():
            if (one := seeds[row]) is not None:
                self.simulation.generators[row] = new_generator(one)
            self.simulation.reset(row)
        self._begun = True
        return self.simulation.observations(), {}

    def step(self, actions: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action in each environment."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        outcome = self.simulation.step(actions)
        over = outcome.terminated | outcome.truncated
        infos: dict[str, Any] = {**outcome.parts, **self._masks}
        if np.count_nonzero(over):
            infos = with_ends(infos, self.simulation.observations(), over)
            for row in np.flatnonzero(over).tolist():
                self.simulation.reset(row)
        return self.simulation.observations(), outcome.rewards, outcome.terminated, outcome.truncated, infos

    def get_state(self) -> State:
        """Return everything that determines what follows, with a row per environment; `set_state(**state)` restores it
        exactly."""
        return self.simulation.get_state()

    def set_state(self, /, *positions_and_velocities: ArrayLike, **state: ArrayLike) -> None:
        """Set positions and velocities, (num_envs, ...), and optionally all other parts of a state of `get_state`."""
        self.simulation.set_state(named(positions_and_velocities, state))
        self._begun = True

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the native threads."""
        self.simulation.physics.close()
