"""Several environments of the original HumanoidBench as a Gymnasium vector environment, stepped by threads."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ..same_step import require_reset_of_all, with_ends
from ..seeding import seeds_for_each
from ..state_checks import State
from .single import Array, Info, OriginalEnv

BLANK = ord(" ")  # JSON texts are padded with spaces to the same length


class OriginalVectorEnv(VectorEnv[Array, NDArray[np.float32], NDArray[Any]]):
    """Environments stepped by threads, which is possible because MuJoCo releases the GIL.

    Where an episode ends, the next one begins in the same step, and `final_obs` holds the last observation of the one
    that ended.
    """

    def __init__(self, name: str, num_envs: int, seed: int | None, action_repeat: int, threads: int) -> None:
        self.members: list[OriginalEnv] = []  # `close` needs it even if the rest of this constructor fails
        self._pool: ThreadPoolExecutor | None = None
        seeds = seeds_for_each(seed, num_envs)
        first = OriginalEnv(name, seeds[0], action_repeat)
        others = [OriginalEnv(name, one, action_repeat, model=first.model) for one in seeds[1:]]
        self.members = [first, *others]
        self.num_envs = num_envs
        self.spec = first.spec
        self.metadata = {**first.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._begun = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[Array, Info]:
        """Begin an episode in every environment; a single seed gives each its own, a list has one for each."""
        require_reset_of_all(options)
        seeds = seeds_for_each(seed, self.num_envs)
        begun = [member.reset(seed=one, options=options)[0] for member, one in zip(self.members, seeds, strict=True)]
        self._begun = True
        return np.stack(begun), {}

    def step(self, actions: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Take one action in each environment."""
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before the first step()")
        actions = np.asarray(actions, dtype=np.float32)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"the actions have shape {actions.shape}, {self.action_space.shape} is needed")
        if not np.isfinite(actions).all():
            raise ValueError("an action holds NaN or infinity; allowed are numbers from -1 to 1")
        along = map if self._pool is None else self._pool.map
        observations, rewards, terminated, truncated, parts = zip(
            *along(OriginalEnv.step, self.members, actions), strict=True
        )
        following, ended, cut = np.stack(observations), np.array(terminated), np.array(truncated)
        infos = _gathered(parts)
        if (over := ended | cut).any():
            infos = with_ends(infos, following.copy(), over)
            for row in np.flatnonzero(over):
                following[row] = self.members[row].reset()[0]
        return following, np.array(rewards), ended, cut, infos

    def get_state(self) -> State:
        """Return everything that determines what follows, with a row per environment; `set_state(**state)` restores it
        exactly."""
        states = [member.get_state() for member in self.members]
        width = max(len(state["task"]) for state in states)
        for state in states:
            state["task"] = np.pad(state["task"], (0, width - len(state["task"])), constant_values=BLANK)
        return {name: np.stack([state[name] for state in states]) for name in states[0]}

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""
        rows = {name: np.atleast_1d(np.asarray(values)) for name, values in state.items()}
        for name, values in rows.items():
            if len(values) != self.num_envs:
                raise ValueError(f"{name} has {len(values)} rows, {self.num_envs} are needed: one per environment")
        whole = [
            member.checked_state({name: values[row] for name, values in rows.items()})
            for row, member in enumerate(self.members)
        ]
        try:
            for member, one in zip(self.members, whole, strict=True):
                member.restore(one)
        except ValueError:
            self.reset()  # some members were changed already, so that the present state belongs to no saved one
            raise
        self._begun = True

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
        for member in self.members:
            member.close()


def _gathered(parts: Sequence[Info]) -> Info:
    """Return one array per name, and a mask of the members that have it: some tasks have a part in some stages only."""
    names = dict.fromkeys(name for one in parts for name in one)
    infos: Info = {name: np.array([one.get(name, 0.0) for one in parts]) for name in names}
    return infos | {"_" + name: np.array([name in one for one in parts]) for name in names}
