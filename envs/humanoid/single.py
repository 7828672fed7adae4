"""One robot in one task as a Gymnasium environment, with `model`, `data` and `set_state` as `MujocoEnv` has them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..randomness import new_generator
from ..states import State
from .physics import Array
from .picture import Picture
from .spaces import METADATA, action_space, metadata, observation_space
from .task import Task
from .world import World, named

Info = dict[str, Any]


class HumanoidEnv(gym.Env[Array, NDArray[np.float32]]):
    """One robot. `data` is the truth: what is written there between two steps counts."""

    metadata = METADATA

    def __init__(self, task: Task, seed: int | None, action_repeat: int, render_mode: str | None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        self.world = World(task, [new_generator(seed)], action_repeat, threads=1)
        self.model: mujoco.MjModel = self.world.physics.model
        self.data: mujoco.MjData = self.world.physics.datas[0]
        self.observation_space = observation_space(self.world)
        self.action_space = action_space(self.world.physics)
        self.render_mode = render_mode
        self.metadata = metadata(action_repeat)
        self._picture: Picture | None = None
        self._begun = False
        self._np_random = self.world.generators[0]
        self._np_random_seed = seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, Info]:
        """Begins an episode: the keyframe with noise on every position, at rest."""
        super().reset(seed=seed)
        self.world.generators[0] = self.np_random
        self.world.reset(0)
        self._begun = True
        return self.world.observations()[0], {}

    def step(self, action: ArrayLike) -> tuple[Array, float, bool, bool, Info]:
        """Ten physics steps per repeat, holding the action."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"the action has shape {action.shape}, {self.action_space.shape} is needed")
        self.world.physics.read_data()
        outcome = self.world.step(action[None])
        info = {name: float(values[0]) for name, values in outcome.parts.items()}
        return (
            self.world.observations()[0],
            float(outcome.rewards[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            info,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The task's camera's picture of the present state, (height, width, 3)."""
        if self.render_mode is None:
            return None
        if self._picture is None:
            self._picture = Picture(self.model)
        return self._picture.of(self.data, self.world.task.markers(self.world.physics))

    def get_state(self) -> State:
        """Everything that decides the future; `set_state(**state)` restores it exactly."""
        if self.world.physics.data_differs():
            self.world.physics.read_data()
            self.world.physics.settle(0)  # what the sensors read where the user has put the robot
        return {name: np.asarray(values[0]) for name, values in self.world.get_state().items()}

    def set_state(self, /, *positions_and_velocities: ArrayLike, **state: ArrayLike) -> None:
        """Positions (nq,) and velocities (nv,), and what else `get_state` gives."""
        self.world.physics.read_data()
        given = named(positions_and_velocities, state)
        self.world.set_state({name: np.asarray(values)[None] for name, values in given.items()})
        self._np_random = self.world.generators[0]
        self._begun = True

    def close(self) -> None:
        """Frees the renderer."""
        if self._picture is not None:
            self._picture.close()
            self._picture = None
        self.world.physics.close()
