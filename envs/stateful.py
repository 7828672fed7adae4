"""What vectors with states that can be saved have in common: their members, and whether anything has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import gymnasium as gym
from gymnasium.vector import VectorEnv, VectorWrapper

Member = TypeVar("Member", bound=gym.Env[Any, Any])


class StatefulVector(VectorWrapper, Generic[Member]):
    """A vector that knows its members, and has a state only once they have begun."""

    env: VectorEnv[Any, Any, Any]

    def __init__(self, env: VectorEnv[Any, Any, Any], members: Sequence[Member]) -> None:
        super().__init__(env)
        self._members = members
        self._begun = False

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every environment."""
        self._begun = True
        return self.env.reset(**settings)

    def _require_begun(self) -> None:
        if not self._begun:
            raise gym.error.ResetNeeded("call reset() or set_state() before get_state()")

    def _begin(self) -> None:
        """A state is put in place of another."""
        if not self._begun:
            self.reset()
