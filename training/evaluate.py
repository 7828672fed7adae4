"""Evaluation on environments of its own: deterministic, from fixed seeds, never touching training's streams."""

from collections.abc import Callable, Sequence

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

Act = Callable[[NDArray[np.float64]], NDArray[np.float32]]


def evaluate(act: Act, environment: VectorEnv, seeds: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths (in environment calls) of one episode per seed; each member plays its first episode only."""
    if len(seeds) % environment.num_envs:
        raise ValueError(f"{len(seeds)} episodes do not divide among {environment.num_envs} environments")
    batches = [
        _first_episodes(act, environment, seeds[start : start + environment.num_envs])
        for start in range(0, len(seeds), environment.num_envs)
    ]
    returns, lengths = zip(*batches, strict=True)
    return np.concatenate(returns), np.concatenate(lengths)


def _first_episodes(
    act: Act, environment: VectorEnv, seeds: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    observations, _ = environment.reset(seed=list(seeds))  # type: ignore[arg-type]  # Gymnasium allows a list
    running = np.ones(environment.num_envs, dtype=bool)
    returns = np.zeros(environment.num_envs)
    lengths = np.zeros(environment.num_envs, dtype=np.int64)
    while running.any():
        observations, rewards, terminated, truncated, _ = environment.step(act(observations))
        returns += rewards * running
        lengths += running
        running &= ~(terminated | truncated)
    return returns, lengths
