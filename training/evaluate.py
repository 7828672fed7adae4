"""Evaluation on environments of its own: deterministic, from fixed seeds, never touching training's streams."""

from collections.abc import Callable, Sequence

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

LIMIT = 10_000  # decisions of an evaluation episode where the environment sets none
Act = Callable[[NDArray[np.float64]], NDArray[np.float32]]


def evaluate(act: Act, environment: VectorEnv, seeds: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths, in decisions, of one episode per seed; each member plays its first episode only."""
    count, limit = environment.num_envs, (environment.spec and environment.spec.max_episode_steps) or LIMIT
    batches = [
        _first_episodes(act, environment, seeds[start : start + count], limit) for start in range(0, len(seeds), count)
    ]
    returns, lengths = zip(*batches, strict=True)
    return np.concatenate(returns), np.concatenate(lengths)


def _first_episodes(
    act: Act, environment: VectorEnv, seeds: Sequence[int], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
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
