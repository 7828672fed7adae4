"""One environment of the original HumanoidBench, adapted to Gymnasium 1: seeds, types, pictures, saved states."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from ..foreign_errors import in_one_line
from ..saved import INTEGRATION
from ..seeding import (
    generator_from_words,
    generator_words,
    legacy_generator_words,
    new_generator,
    restore_legacy_generator,
    seed_legacy_generator,
)
from ..state_checks import State, like, require_count, require_finite, require_names
from .drawing import Drawing
from .package import PREFIX, build, spec_of
from .state import remember, remembered, write, written

Array = NDArray[np.float64]
Info = dict[str, Any]

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}
ONE_AT_A_TIME = threading.RLock()


class OriginalEnv(gym.Env[Array, NDArray[np.float32]]):
    """One environment whose episodes depend only on seed and actions.

    The original's tasks keep values from earlier episodes; here these are restored at each reset.
    """

    metadata = METADATA

    def __init__(
        self,
        name: str,
        seed: int | None = None,
        action_repeat: int = 1,
        render_mode: str | None = None,
        model: mujoco.MjModel | None = None,
    ) -> None:
        self.metadata = METADATA | {"render_fps": METADATA["render_fps"] / action_repeat}
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is not known; allowed are None and 'rgb_array'")
        registered = spec_of(name)
        self.original = build(registered, model)
        self.model: mujoco.MjModel = self.original.model
        self.data: mujoco.MjData = self.original.data
        self.render_mode = render_mode
        self.action_repeat = action_repeat
        self.spec = _spec(registered, self.original, action_repeat, render_mode)
        self._drawing = Drawing(self.model, self.data)
        self.original.viewer = self.original.mujoco_renderer = self._drawing
        self._legacy_generator = np.random.RandomState()
        self._limit = registered.max_episode_steps
        self._elapsed = 0
        self._begun = False
        observation = self._settle(name)
        self.observation_space = Box(-np.inf, np.inf, shape=observation.shape, dtype=np.float64)
        self.action_space = Box(-1, 1, shape=self.original.action_space.shape, dtype=np.float32)
        self._seed(seed)

    def _settle(self, name: str) -> Array:
        """Do a first reset and a first step that belong to no episode, and return the observation.

        Some of the original's settings take effect only at the first reset (highbar starts without noise). The step
        finds out whether the task works at all.
        """
        before = written(self.model)
        self._seed(0)
        with self._legacy_generator_in_use():
            observation, _ = self.original.reset()
        self._fresh = remembered(self.original.task), before
        try:
            self.original.step(np.zeros(self.original.action_space.shape, dtype=np.float32))
        except Exception as error:  # for example truck with G1: the task reads a joint that only H1 has
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{name} fails in the original itself, in its first step ({reason})") from error
        write(self.model, before)
        mujoco.mj_resetData(self.model, self.data)
        return np.asarray(observation, dtype=np.float64)

    def _seed(self, seed: int | None) -> None:
        self._np_random, self._np_random_seed = new_generator(seed), -1 if seed is None else seed
        seed_legacy_generator(self._legacy_generator, seed)

    @contextlib.contextmanager
    def _legacy_generator_in_use(self) -> Iterator[None]:
        """Replace the state of NumPy's global generator by this environment's own during a reset.

        The original's tasks draw initial states, but no steps, from the global generator.
        """
        with ONE_AT_A_TIME:
            self.original.np_random = self.np_random
            theirs = np.random.get_state(legacy=False)  # noqa: NPY002
            np.random.set_state(self._legacy_generator.get_state())  # noqa: NPY002
            try:
                yield
            finally:
                self._legacy_generator.set_state(np.random.get_state())  # noqa: NPY002
                np.random.set_state(theirs)  # noqa: NPY002

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        """Begin an episode."""
        if seed is not None:
            self._seed(seed)
        memory, model = self._fresh
        remember(self.original.task, memory)
        write(self.model, model)
        with self._legacy_generator_in_use():
            observation, info = self.original.reset(options=options)
        self._elapsed, self._begun = 0, True
        return np.array(observation, dtype=np.float64), dict(info)

    def step(self, action: ArrayLike) -> tuple[Array, float, bool, bool, Info]:
        """Take one decision: the action is repeated `action_repeat` times, or until the episode is over."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        action = np.array(action, dtype=np.float32)
        if action.shape != self.action_space.shape:
            raise ValueError(f"the action has shape {action.shape}, {self.action_space.shape} is needed")
        if not np.isfinite(action).all():
            raise ValueError("an action holds NaN or infinity; allowed are numbers from -1 to 1")
        total = 0.0
        for _ in range(self.action_repeat):
            observation, reward, ended, _, info = self.original.step(action)
            total += float(reward)
            self._elapsed += 1
            terminated, truncated = bool(ended), self._limit is not None and self._elapsed >= self._limit
            if terminated or truncated:
                break
        parts = {name: float(value) for name, value in info.items()}
        return np.array(observation, dtype=np.float64), total, terminated, truncated, parts

    def render(self) -> NDArray[np.uint8] | None:
        """Return the view of the task's camera, (height, width, 3), with the markers that the task sets."""
        return None if self.render_mode is None else self.original.render()

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        physics = np.empty(mujoco.mj_stateSize(self.model, INTEGRATION))
        mujoco.mj_getState(self.model, self.data, physics, INTEGRATION)
        return {
            "physics": physics,
            "model": written(self.model),
            "task": remembered(self.original.task),
            "elapsed_steps": np.array(self._elapsed),
            "random_generator": generator_words(self.np_random),
            "legacy_generator": legacy_generator_words(self._legacy_generator),
        }

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""
        self.restore(self.checked_state(state))

    def checked_state(self, state: Mapping[str, ArrayLike]) -> State:
        """Return a state as arrays of the right shapes and types; raise ValueError if it cannot be one."""
        present = self.get_state()
        require_names(state, present)
        present["task"] = np.zeros(np.shape(state["task"]), dtype=np.uint8)  # its length differs between states
        whole = {name: like(name, state[name], values) for name, values in present.items()}
        for name, values in whole.items():
            require_finite(name, values)
        require_count("elapsed_steps", whole["elapsed_steps"])
        return whole

    def restore(self, state: State) -> None:
        """Continue from a state of `checked_state`; if it fails, begin an episode and raise ValueError."""
        try:
            self._restore(state)
            # A trial step: the task's attributes may hold anything, and must fail here and not later.
            self.original.step(np.zeros(self.model.nu, dtype=np.float32))
        except Exception as error:
            self.reset()  # the present state belongs to no saved one
            raise ValueError(f"the state is not one of this task's: {in_one_line(error)}") from error
        self._restore(state)
        self._begun = True

    def _restore(self, state: State) -> None:
        write(self.model, state["model"])
        mujoco.mj_setState(self.model, self.data, state["physics"], INTEGRATION)
        mujoco.mj_forward(self.model, self.data)  # for pictures; it does not change the solver's warm start
        remember(self.original.task, state["task"])
        self._elapsed = int(state["elapsed_steps"])
        self.np_random = generator_from_words(state["random_generator"])
        restore_legacy_generator(self._legacy_generator, state["legacy_generator"])

    def close(self) -> None:
        """Free the renderer."""
        self._drawing.close()


def _spec(registered: EnvSpec, original: Any, action_repeat: int, render_mode: str | None) -> EnvSpec:
    return EnvSpec(
        f"{PREFIX[:-1]}/{registered.id}",
        entry_point=f"{__name__}:{OriginalEnv.__name__}",
        max_episode_steps=registered.max_episode_steps,
        reward_threshold=getattr(original.task, "success_bar", None),
        kwargs={"name": PREFIX + registered.id, "action_repeat": action_repeat, "render_mode": render_mode},
    )
