"""The common part of vectors whose states can be saved: their members, and whether an episode has begun."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import gymnasium as gym
from gymnasium.vector import VectorEnv, VectorWrapper

Member = TypeVar("Member", bound=gym.Env[Any, Any])


class StatefulVector(VectorWrapper, Generic[Member]):
    """A vector that knows its members, and that has a state only after its first reset."""

    env: VectorEnv[Any, Any, Any]

    def __init__(self, env: VectorEnv[Any, Any, Any], members: Sequence[Member]) -> None:
        super().__init__(env)
        self._members = members
        self._begun = False

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every environment."""
        self._begun = True
        return self.env.reset(**settings)

    def _require_begun(self) -> None:
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before get_state()")

    def _begin(self) -> None:
        """Make sure that episodes have begun, so that a state can be restored."""
        if not self._begun:
            self.reset()
