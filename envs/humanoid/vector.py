"""Several robots in one task as a Gymnasium vector environment, stepped by MuJoCo's native threads."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ..seeding import new_generator, spawn_seeds
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
        seeds: Sequence[int | None] = [None] * num_envs if seed is None else spawn_seeds(seed, num_envs)
        self.simulation = Simulation(task, [new_generator(one) for one in seeds], action_repeat, threads)
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
        """Begin an episode in every environment; a single seed gives each its own, a list has one for each."""
        if seed is not None:
            seeds = spawn_seeds(int(seed), self.num_envs) if isinstance(seed, (int, np.integer)) else list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(f"{len(seeds)} seeds were given to {self.num_envs} environments; give one each")
            for row, one in enumerate(seeds):
                if one is not None:
                    self.simulation.generators[row] = new_generator(int(one))
        for row in range(self.num_envs):
            self.simulation.reset(row)
        self._begun = True
        return self.simulation.observations(), {}

    def step(self, actions: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action in each environment."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        outcome = self.simulation.step(actions)
        over = outcome.terminated | outcome.truncated
        if np.count_nonzero(over):
            infos = self._end_episodes(outcome.parts, over)
        else:
            infos = {**outcome.parts, **self._masks}
        return self.simulation.observations(), outcome.rewards, outcome.terminated, outcome.truncated, infos

    def _end_episodes(self, parts: dict[str, Array], over: NDArray[np.bool_]) -> dict[str, Any]:
        final_info: dict[str, Any] = {}
        infos: dict[str, Any] = {
            "final_obs": self.simulation.observations(),
            "_final_obs": over,
            "final_info": final_info,
            "_final_info": over,
        }
        for name, values in parts.items():
            final_info[name], final_info["_" + name] = values, over
            infos[name], infos["_" + name] = np.where(over, 0.0, values), ~over
        for row in np.flatnonzero(over):
            self.simulation.reset(int(row))
        return infos

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
