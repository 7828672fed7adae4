"""One robot in one task as a Gymnasium environment, with `model`, `data` and `set_state` as in `MujocoEnv`."""

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rendering import Renderer
from ..seeding import new_generator
from ..state_checks import State
from .physics import Array
from .scene import CAMERA
from .simulation import Simulation, named
from .spaces import METADATA, action_space, metadata, observation_space
from .task import Task

Info = dict[str, Any]


class HumanoidEnv(gym.Env[Array, NDArray[np.float32]]):
    """One robot. Its state is read from `data` before every step, so a user may change `data` between two steps."""

    metadata = METADATA

    def __init__(self, task: Task, seed: int | None, action_repeat: int, render_mode: str | None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        self.simulation = Simulation(task, [new_generator(seed)], action_repeat, threads=1)
        self.model: mujoco.MjModel = self.simulation.physics.model
        self.data: mujoco.MjData = self.simulation.physics.datas[0]
        self.observation_space = observation_space(self.simulation)
        self.action_space = action_space(self.simulation.physics)
        self.render_mode = render_mode
        self.metadata = metadata(action_repeat)
        self._renderer: Renderer | None = None
        self._begun = False
        self._np_random = self.simulation.generators[0]
        self._np_random_seed = seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, Info]:
        """Begin an episode: the keyframe with noise on every position, at rest."""
        super().reset(seed=seed)
        self.simulation.generators[0] = self.np_random
        self.simulation.reset(0)
        self._begun = True
        return self.simulation.observations()[0], {}

    def step(self, action: ArrayLike) -> tuple[Array, float, bool, bool, Info]:
        """Take one decision: ten physics steps per repeat with the same action."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"the action has shape {action.shape}, {self.action_space.shape} is needed")
        self.simulation.physics.read_data()
        outcome = self.simulation.step(action[None])
        info = {name: float(values[0]) for name, values in outcome.parts.items()}
        reward, terminated, truncated = outcome.rewards[0], outcome.terminated[0], outcome.truncated[0]
        return self.simulation.observations()[0], float(reward), bool(terminated), bool(truncated), info

    def render(self) -> NDArray[np.uint8] | None:
        """Return the present view of the task's camera, (height, width, 3)."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            self._renderer = Renderer(self.model, CAMERA)
        return self._renderer.draw(self.data, self.simulation.task.markers(self.simulation.physics))

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        if self.simulation.physics.data_differs():
            self.simulation.physics.read_data()
            self.simulation.physics.settle(0)  # a user has moved the robot: compute the readings there
        return {name: np.asarray(values[0]) for name, values in self.simulation.get_state().items()}

    def set_state(self, /, *positions_and_velocities: ArrayLike, **state: ArrayLike) -> None:
        """Set positions (nq,) and velocities (nv,), and optionally all other parts of a state of `get_state`."""
        self.simulation.physics.read_data()
        given = named(positions_and_velocities, state)
        self.simulation.set_state({name: np.asarray(values)[None] for name, values in given.items()})
        self._np_random = self.simulation.generators[0]
        self._begun = True

    def close(self) -> None:
        """Free the renderer and stop the threads."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.simulation.physics.close()
