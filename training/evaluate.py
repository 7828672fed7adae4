"""Evaluation on environments of its own, from fixed seeds, never touching training's streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from .stopping import EnvironmentCalls

LIMIT = 10_000  # decisions of an evaluation episode where the environment sets none
Act = Callable[[NDArray[Any]], NDArray[Any]]
Returns = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class Evaluation:
    """How a policy is evaluated: one episode per seed, or so many decisions in all and the episodes that they end."""

    environment: VectorEnv
    seeds: tuple[int, ...]
    decisions: int | None = None
    exploration: float = 0.0  # share of random actions, as DQN's published evaluations have it

    def explored(self, act: Act) -> Act:
        """How the policy acts in an evaluation, from its first decision on."""
        if not self.exploration:
            return act
        return exploring(act, self.exploration, self.environment.single_action_space, self.seeds[0])

    @property
    def longest(self) -> int | None:
        """Decisions after which an evaluation breaks off every episode."""
        return None if self.decisions is None else -(-self.decisions // self.environment.num_envs)

    def run(self, act: Act, calls: EnvironmentCalls | None = None) -> Returns:
        """Returns and lengths of the episodes, in decisions; the same episodes every time. `calls` is told of steps."""
        act = self.explored(act)
        if calls is not None:
            with calls.between(act) as act:
                return self._run(act)
        return self._run(act)

    def _run(self, act: Act) -> Returns:
        if self.decisions is None:
            return evaluate(act, self.environment, self.seeds)
        return evaluate_decisions(act, self.environment, self.seeds[: self.environment.num_envs], self.decisions)


def exploring(act: Act, share: float, space: spaces.Space[Any], seed: int) -> Act:
    """The same policy, but for a share of random actions from a stream of its own."""
    assert isinstance(space, spaces.Discrete)  # only agents with such actions ask for it
    random, low, high = np.random.default_rng(seed), int(space.start), int(space.start + space.n)

    def explore(observations: NDArray[Any]) -> NDArray[Any]:
        actions = act(observations)
        drawn = random.random(len(actions)) < share
        return np.where(drawn, random.integers(low, high, len(actions)), actions)

    return explore


def evaluate(act: Act, environment: VectorEnv, seeds: Sequence[int]) -> Returns:
    """Returns and lengths, in decisions, of one episode per seed; each member plays its first episode only."""
    count, limit = environment.num_envs, (environment.spec and environment.spec.max_episode_steps) or LIMIT
    batches = [
        _first_episodes(act, environment, seeds[start : start + count], limit) for start in range(0, len(seeds), count)
    ]
    returns, lengths = zip(*batches, strict=True)
    return np.concatenate(returns), np.concatenate(lengths)


def evaluate_decisions(act: Act, environment: VectorEnv, seeds: Sequence[int], decisions: int) -> Returns:
    """The episodes that end within so many decisions of all environments; where none does, the open ones so far."""
    count = environment.num_envs
    observations, _ = environment.reset(seed=list(seeds))  # type: ignore[arg-type]  # Gymnasium allows a list
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    finished: list[tuple[float, int]] = []
    for _ in range(-(-decisions // count)):
        observations, rewards, terminated, truncated, _ = environment.step(act(observations))
        returns += rewards
        lengths += 1
        ended = terminated | truncated
        finished += [(float(returns[member]), int(lengths[member])) for member in np.flatnonzero(ended)]
        returns[ended], lengths[ended] = 0.0, 0
    if not finished:
        return returns, lengths
    return np.array([value for value, _ in finished]), np.array([length for _, length in finished])


def _first_episodes(act: Act, environment: VectorEnv, seeds: Sequence[int], limit: int) -> Returns:
    padded = [*seeds, *[seeds[-1]] * (environment.num_envs - len(seeds))]
    observations, _ = environment.reset(seed=padded)  # type: ignore[arg-type]  # Gymnasium allows a list
    running = np.arange(environment.num_envs) < len(seeds)
    returns = np.zeros(environment.num_envs)
    lengths = np.zeros(environment.num_envs, dtype=np.int64)
    while running.any() and lengths.max() < limit:
        observations, rewards, terminated, truncated, _ = environment.step(act(observations))
        returns += rewards * running
        lengths += running
        running &= ~(terminated | truncated)
    return returns[: len(seeds)], lengths[: len(seeds)]
