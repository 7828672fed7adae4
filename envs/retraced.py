"""Environments whose episodes are determined by a seed and the actions: their states are saved as seed and actions."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike

from .state_checks import State
from .stateful import StatefulVector
from .trace import (
    MOST_ACTIONS,
    SEED_END,
    Trace,
    is_possible,
    random_seed,
    require_same,
    traces_from_state,
    traces_to_state,
)


class Retraced(gym.Wrapper[Any, Any, Any, Any]):
    """Seeds every episode, the first one with the given seed, and records its actions."""

    def __init__(self, env: gym.Env[Any, Any], seed: int | None = None) -> None:
        super().__init__(env)
        self.trace = Trace(random_seed() if seed is None else seed)
        self.observation: Any = None  # the last one; None in an episode that was begun with options
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode: the one of the given seed, or the next one."""
        if seed is not None:
            if not 0 <= seed < SEED_END:
                raise ValueError(f"seed is {seed}; allowed are None and whole numbers from 0 on, below 2**63")
            self.trace = Trace(int(seed))
        elif self._begun:
            self.trace.next_episode()
        self._begun = True
        observation, info = self.env.reset(seed=self.trace.first(), options=options)
        self.observation = None if options else observation
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        action = self._as_saved(action)
        result = self.env.step(action)
        self.trace.actions.append(np.array(action))
        if self.observation is not None:
            self.observation = result[0]
        return result

    def _as_saved(self, action: Any) -> Any:
        """Return a continuous action with the type in which a state holds it, so that it plays the same again."""
        space = self.env.action_space
        if not isinstance(space, gym.spaces.Box):
            return action
        taken = np.asarray(action, dtype=space.dtype)
        if not is_possible(taken, space):
            raise ValueError(f"the action is {ascii(action)[:100]}; allowed are finite numbers of shape {space.shape}")
        return taken

    def replay(self, trace: Trace) -> None:
        """Replay an episode up to the end of its trace."""
        self.trace, self._begun = trace, True
        self.observation, _ = self.env.reset(seed=trace.first())
        for done, action in enumerate(trace.actions, start=1):
            self.observation, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                raise ValueError(f"a saved episode of {len(trace.actions)} actions ends after {done}: it is damaged")


class RetracedVector(StatefulVector[Retraced]):
    """Adds `get_state` and `set_state` to a vector of `Retraced` members."""

    def __init__(self, env: VectorEnv[Any, Any, Any], members: Sequence[Retraced]) -> None:
        super().__init__(env, members)
        spec = members[0].env.unwrapped.spec
        self._identity = spec.id if spec else ""
        self._longest = (spec and spec.max_episode_steps) or MOST_ACTIONS

    def get_state(self) -> State:
        """Return everything that determines what follows; `set_state(**state)` restores it exactly."""
        self._require_begun()
        if any(member.observation is None for member in self._members):
            raise ValueError("an episode that was begun with options cannot be saved")
        return self._as_state([member.observation for member in self._members])

    def set_state(self, /, **state: ArrayLike) -> None:
        """Continue from a state of `get_state`."""
        self._begin()
        form = self._as_state([0] * len(self._members))
        wanted, checksums = traces_from_state(state, form, self.env.single_action_space, self._longest)
        try:
            for member, trace in zip(self._members, wanted, strict=True):
                member.replay(trace)
            numbers = [(trace.episode, trace.episode) for trace in wanted]
            require_same(checksums, [member.observation for member in self._members], numbers, self._identity)
        except Exception:
            self.reset()  # some members were changed already, so that the present state belongs to no saved one
            raise

    def _as_state(self, observations: Sequence[Any]) -> State:
        space = self.env.single_action_space
        like = np.zeros(space.shape or (), dtype=space.dtype)
        return traces_to_state([member.trace for member in self._members], observations, like, self._identity)
