"""Evaluate a policy on separate environments from fixed seeds, without using training's random generators."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from .stopping import EnvironmentCalls

LIMIT = 10_000  # the longest evaluation episode, in decisions, if the environment has no time limit
Act = Callable[[NDArray[Any]], NDArray[Any]]
Returns = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class Evaluation:
    """How a policy is evaluated: on one episode per seed, or on the episodes that end within a number of decisions."""

    environment: VectorEnv
    seeds: tuple[int, ...]
    decisions: int | None = None  # of all environments together; None: one episode per seed
    exploration: float = 0.0  # the share of random actions, as in DQN's published evaluations

    def explored(self, act: Act) -> Act:
        """Return the policy as it acts in an evaluation: with its share of random actions."""
        if not self.exploration:
            return act
        return exploring(act, self.exploration, self.environment.single_action_space, self.seeds[0])

    @property
    def longest(self) -> int | None:
        """The number of decisions after which an evaluation cuts off every episode; None: no limit of its own."""
        return None if self.decisions is None else -(-self.decisions // self.environment.num_envs)

    def run(
        self, act: Act, calls: EnvironmentCalls | None = None, unfinished: Callable[[], object] = lambda: None
    ) -> Returns:
        """Return the returns and the lengths (in decisions) of the episodes, which have the same seeds every time.

        `calls` is told when the environment is stepped. `unfinished` is called if no episode has ended within the
        number of decisions.
        """
        act = self.explored(act)
        with calls.between(act) if calls is not None else nullcontext(act) as act:
            if self.decisions is None:
                return evaluate(act, self.environment, self.seeds)
            seeds = self.seeds[: self.environment.num_envs]
            return evaluate_decisions(act, self.environment, seeds, self.decisions, unfinished)


def exploring(act: Act, share: float, space: spaces.Space[Any], seed: int) -> Act:
    """Return the policy with a share of random actions, drawn from a separate random generator."""
    assert isinstance(space, spaces.Discrete)  # only agents with discrete actions use it
    random, low, high = np.random.default_rng(seed), int(space.start), int(space.start + space.n)

    def explore(observations: NDArray[Any]) -> NDArray[Any]:
        actions = act(observations)
        drawn = random.random(len(actions)) < share
        return np.where(drawn, random.integers(low, high, len(actions)), actions)

    return explore


def evaluate(act: Act, environment: VectorEnv, seeds: Sequence[int]) -> Returns:
    """Return the returns and lengths (in decisions) of one episode per seed.

    After a reset, only the first episode of each environment counts.
    """
    count, limit = environment.num_envs, (environment.spec and environment.spec.max_episode_steps) or LIMIT
    parts = (seeds[start : start + count] for start in range(0, len(seeds), count))
    batches = [_first_episodes(act, environment, part, limit) for part in parts]
    returns, lengths = zip(*batches, strict=True)
    return np.concatenate(returns), np.concatenate(lengths)


def evaluate_decisions(
    act: Act, environment: VectorEnv, seeds: Sequence[int], decisions: int,
    unfinished: Callable[[], object] = lambda: None,
) -> Returns:  # fmt: skip
    """Return the returns and lengths of the episodes that end within `decisions` decisions of all environments.

    If none ends, `unfinished` is called, and those of the unfinished episodes are returned.
    """
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
        unfinished()
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
