"""Vectors of other packages' environments whose state can be saved as plain arrays, and continued bit by bit.

This works only if everything that determines what follows is known: for Gymnasium's MuJoCo tasks, for its pendulum, for
environments that provide their state themselves (`SavableEnv`), and for the rest of Gymnasium's classic control and toy
text, whose episodes are replayed. A class derived from one of Gymnasium's may have more state, so it is not supported.
"""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import ArrayLike

from .foreign_errors import in_one_line
from .generic import ActionRepeat, FirstSeed, OwnFinalObservation
from .retraced import Retraced, RetracedVector
from .seeding import generator_from_words, generator_words
from .state_checks import State, checked_state, require_count, require_finite
from .stateful import StatefulVector

REPLAYABLE = ("gymnasium.envs.classic_control.", "gymnasium.envs.toy_text.")
WITHOUT_STATE = (ActionRepeat, OrderEnforcing, OwnFinalObservation, PassiveEnvChecker)
INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION  # time, positions, velocities, activations, controls, warm start, ...
# The positions of bodies before the last physics step: Ant and Humanoid reward the distance moved since then.
STALE = ("xpos", "xipos")


class SavableEnv(gym.Env[Any, Any], ABC):
    """An environment that provides its whole state as arrays, whose names and shapes never change."""

    @abstractmethod
    def get_state(self) -> State:
        """Return the state as new arrays, by name."""

    @abstractmethod
    def set_state(self, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""


class SavedVector(StatefulVector[gym.Env[Any, Any]]):
    """Adds `get_state` and `set_state` to a vector, one row per environment."""

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        self._require_begun()
        rows = [_state_of(member) for member in self._members]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""
        self._begin()
        whole = checked_state(state, self.get_state())
        if whole.get("awaits_reset", np.array(False)).any():
            raise ValueError("awaits_reset is set; in a vector no episode waits for its reset")
        try:
            for row, member in enumerate(self._members):
                _restore(member, {name: values[row] for name, values in whole.items()})
        except Exception as error:
            self.reset()  # some members were changed already, so that the present state belongs to no saved one
            if isinstance(error, ValueError):
                raise
            raise ValueError(f"the state cannot be restored: {in_one_line(error)}") from error


def with_state(vector: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
    """Return the vector, with `get_state` and `set_state` added if they can be exact."""
    inner: Any = vector.unwrapped
    if not isinstance(inner, SyncVectorEnv):
        return vector
    if all(_is_known(member) for member in inner.envs):
        return SavedVector(vector, inner.envs)
    if all(_is_replayable(member) for member in inner.envs):
        members = [Retraced(member) for member in inner.envs]
        inner.envs[:] = members
        return RetracedVector(vector, members)
    return vector


def with_seeds(env: gym.Env[Any, Any], seed: int | None) -> gym.Env[Any, Any]:
    """Return the environment, seeded so that its episodes equal those of a vector's member under `with_state`."""
    if _is_replayable(env):
        return Retraced(env, seed)
    return env if seed is None else FirstSeed(env, seed)


def _is_known(env: gym.Env[Any, Any]) -> bool:
    inner = env.unwrapped
    own = type(inner).__module__.startswith("gymnasium.envs.mujoco.") or _is_pendulum(inner)
    return _is_plain(env) and (own or isinstance(inner, SavableEnv))


def _is_replayable(env: gym.Env[Any, Any]) -> bool:
    """Whether the seed and the actions alone determine an episode, whatever was played before it."""
    inner = env.unwrapped
    return _is_plain(env) and type(inner).__module__.startswith(REPLAYABLE) and not _is_pendulum(inner)


def _is_plain(env: gym.Env[Any, Any]) -> bool:
    limit = _time_limit(env)
    return all(wrapper is limit or type(wrapper) in WITHOUT_STATE for wrapper in _wrappers(env))


def _is_pendulum(env: gym.Env[Any, Any]) -> bool:
    return type(env).__module__ == "gymnasium.envs.classic_control.pendulum"


def _wrappers(env: gym.Env[Any, Any]) -> list[gym.Wrapper[Any, Any, Any, Any]]:
    found = []
    while isinstance(env, gym.Wrapper):
        found.append(env)
        env = env.env
    return found


def _time_limit(env: gym.Env[Any, Any]) -> Any:
    return next((wrapper for wrapper in _wrappers(env) if type(wrapper) is TimeLimit), None)


def _state_of(env: gym.Env[Any, Any]) -> State:
    inner: Any = env.unwrapped
    state: State = {}
    if (limit := _time_limit(env)) is not None:
        state["limit_steps"] = np.array(limit._elapsed_steps, dtype=np.int64)
    if isinstance(inner, SavableEnv):
        return state | inner.get_state()
    state["random_generator"] = generator_words(inner.np_random)
    if _is_pendulum(inner):
        return state | {"angle_and_speed": np.array(inner.state, dtype=np.float64)}
    physics = np.empty(mujoco.mj_stateSize(inner.model, INTEGRATION))
    mujoco.mj_getState(inner.model, inner.data, physics, INTEGRATION)
    return state | {"physics": physics} | {name: getattr(inner.data, name).copy() for name in STALE}


def _restore(env: gym.Env[Any, Any], state: State) -> None:
    env.reset()
    if (limit := _time_limit(env)) is not None:
        require_count("limit_steps", state["limit_steps"])
        limit._elapsed_steps = int(state.pop("limit_steps"))
    inner: Any = env.unwrapped
    if isinstance(inner, SavableEnv):
        inner.set_state(**state)
        return
    inner.np_random = generator_from_words(state["random_generator"])
    for name, values in state.items():
        require_finite(name, values)
    if _is_pendulum(inner):
        if abs(state["angle_and_speed"][1]) > inner.max_speed:
            raise ValueError(f"angle_and_speed holds a speed above {inner.max_speed}, which the pendulum never has")
        inner.state = state["angle_and_speed"].copy()
        return
    mujoco.mj_setState(inner.model, inner.data, state["physics"], INTEGRATION)
    mujoco.mj_forward(inner.model, inner.data)  # updates derived quantities; the solver's warm start is unchanged
    for name in STALE:
        getattr(inner.data, name)[:] = state[name]
