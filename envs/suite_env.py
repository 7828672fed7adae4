"""A task of the DeepMind Control suite as a Gymnasium environment whose state can be saved."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from .foreign_errors import in_one_line
from .rendering import Renderer
from .saved import INTEGRATION, SavableEnv
from .seeding import legacy_generator_words, restore_legacy_generator, seed_legacy_generator
from .state_checks import State, checked_state, require_count, require_finite

Array = NDArray[np.float64]
Info = dict[str, Any]

# Fields of the model that tasks draw at random for each episode: targets, receptacles, gains, terrain.
DRAWN = ("body_pos", "body_quat", "geom_pos", "hfield_data", "light_pos", "site_pos", "wrap_prm")
EPISODES_TRIED = 32  # to find which numbers of these fields vary; 32, because some have only two possible values


class SuiteEnv(SavableEnv):
    """One task. The parts of its observation, in the suite's order, form one flat array."""

    def __init__(self, load: Callable[[], Any], seed: int | None, render_mode: str | None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        self._load = load
        self.environment = load()  # a dm_control.rl.control.Environment
        self.task, self.physics = self.environment.task, self.environment.physics
        if self.physics.model.nhfield:
            # quadruped-escape would open a rendering context at every reset, which fails without a screen.
            self.physics.__class__ = type("ScreenlessPhysics", (type(self.physics),), {"contexts": None})
        seed_legacy_generator(self.task.random, seed)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1 / self.environment.control_timestep()}
        self.render_mode = render_mode
        size = sum(math.prod(part.shape) for part in self.environment.observation_spec().values())
        self.observation_space = Box(-np.inf, np.inf, shape=(size,), dtype=np.float64)
        action = self.environment.action_spec()
        low, high = (np.broadcast_to(bound, action.shape) for bound in (action.minimum, action.maximum))
        self.action_space = Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        limit = self.environment._step_limit
        self.step_limit = math.ceil(limit) if math.isfinite(limit) else None
        self._renderer: Renderer | None = None

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Array, Info]:
        """Begin an episode; without a seed, the task's own random generator continues."""
        super().reset(seed=seed)
        if seed is not None:
            seed_legacy_generator(self.task.random, seed)
        return _flat(self._begin().observation), {}

    def _begin(self) -> Any:
        if self.physics.model.nhfield:
            self.close()  # a renderer keeps showing the terrain it was opened with
        return self.environment.reset()

    def step(self, action: ArrayLike) -> tuple[Array, float, bool, bool, Info]:
        """Take one control step. The suite's last discount is 0 at termination and 1 at the time limit."""
        if self.environment._reset_next_step:
            raise gym.error.ResetNeeded("call reset() before the first step() and after an episode's last")
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise ValueError(f"the action has shape {action.shape}, {self.action_space.shape} is needed")
        if not np.isfinite(action).all():
            raise ValueError("an action holds NaN or infinity; allowed are numbers within the action space")
        result = self.environment.step(action)
        terminated = result.last() and result.discount == 0
        return _flat(result.observation), float(result.reward), terminated, result.last() and not terminated, {}

    def render(self) -> NDArray[np.uint8] | None:
        """Return the view of the task's first camera, (height, width, 3)."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            model = self.physics.model.ptr
            self._renderer = Renderer(model, model.camera(0).name)
        return self._renderer.draw(self.physics.data.ptr)

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        return {
            "physics": self.physics.get_state(INTEGRATION),
            "elapsed_steps": np.array(self.environment._step_count),
            "awaits_reset": np.array(self.environment._reset_next_step),
            "random_generator": legacy_generator_words(self.task.random),
        } | self._drawn()

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""
        present = self.get_state()
        whole = checked_state(state, present)
        require_count("elapsed_steps", whole["elapsed_steps"])
        for name, values in whole.items():
            require_finite(name, values)
        restore_legacy_generator(np.random.RandomState(), whole["random_generator"])
        for name, changes in _drawn_entries(self._load).items():
            if not np.array_equal(whole[name][~changes], present[name][~changes]):
                # Refused, because with such a model an episode might never begin.
                raise ValueError(f"{name} differs in numbers that are the same in all episodes of this task")
        try:
            with self.physics.check_invalid_state():
                self._restore(whole)
                # A trial step: if the state diverges, it must fail here, and not in the next step of the suite.
                mujoco.mj_step(self.physics.model.ptr, self.physics.data.ptr)
        except Exception as error:
            self._write_drawn(present)  # with the refused values, `_restore` might not be able to begin an episode
            self._restore(present)
            raise ValueError(f"physics holds a state that diverges at once: {in_one_line(error)}") from error
        self._restore(whole)

    def _restore(self, state: State) -> None:
        self._begin()  # sets what tasks set to the same values at the beginning of each episode
        self._write_drawn(state)
        self.physics.set_state(state["physics"], INTEGRATION)
        mujoco.mj_step1(self.physics.model.ptr, self.physics.data.ptr)  # the suite's next step expects it to be done
        restore_legacy_generator(self.task.random, state["random_generator"])
        self.environment._step_count = int(state["elapsed_steps"])
        self.environment._reset_next_step = bool(state["awaits_reset"])

    def _drawn(self) -> State:
        drawn = {f"model_{name}": getattr(self.physics.model, name).copy() for name in DRAWN}
        return {name: values for name, values in drawn.items() if values.size}

    def _write_drawn(self, state: State) -> None:
        for name in DRAWN:
            if f"model_{name}" in state:
                getattr(self.physics.model, name)[:] = state[f"model_{name}"]

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _flat(observation: Mapping[str, Any]) -> Array:
    return np.concatenate([np.ravel(part) for part in observation.values()])


@functools.cache
def _drawn_entries(load: Callable[[], Any]) -> State:
    """Find which numbers of the model's fields change between episodes, by trying in a separate environment."""
    env = SuiteEnv(load, 0, None)
    first = env._drawn()
    changes = {name: np.zeros(values.shape, dtype=np.bool_) for name, values in first.items()}
    for _ in range(EPISODES_TRIED):
        env._begin()
        for name, values in env._drawn().items():
            changes[name] |= values != first[name]
    return changes
