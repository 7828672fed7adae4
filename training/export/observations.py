"""Observations to check an exported file on: from the environment, else from the run's replay, else random ones."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fire_rl.envs import spawn_seeds
from fire_rl.replay.frame_segments import read_frame_segment
from fire_rl.replay.segments import read_segment

from ..card import is_card
from ..checkpoint import read_manifest
from ..durable import DurableStore
from ..policy import Policy

Observations = NDArray[Any]
SEED = 7
EXPLORED = 0.3  # share of random actions, so that the observations are more varied
TOGETHER = 4  # environments


def observations_for(policy: Policy, count: int) -> tuple[Observations, str]:
    """Return `count` observations, and in words where they come from."""
    sources: tuple[tuple[str, Callable[[Policy, int], Observations]], ...] = (
        ("of the environment", _of_the_environment), ("of the run's replay", _of_the_replay)
    )  # fmt: skip
    for words, source in sources:
        with suppress(Exception):  # a package or the replay may be missing; environments raise any error
            found = source(policy, count)
            if found.shape == (count, *policy.spaces.observation.shape) and np.isfinite(found).all():
                return found, words
    return drawn(policy, count), "drawn, since there is neither the environment nor a replay"


def _of_the_environment(policy: Policy, count: int) -> Observations:
    environment, random = policy.config.world.vector(TOGETHER), np.random.default_rng(SEED)
    try:
        seeds = list(spawn_seeds(SEED, TOGETHER))
        environment.single_action_space.seed(SEED)
        observations, _ = environment.reset(seed=seeds)  # type: ignore[arg-type]  # Gymnasium allows a list
        seen = []
        for _ in range(-(-count // TOGETHER)):
            seen.append(np.array(observations))
            actions = np.array(policy.act(observations))
            for member in np.flatnonzero(random.random(TOGETHER) < EXPLORED):
                actions[member] = environment.single_action_space.sample()
            observations, *_ = environment.step(actions)
    finally:
        environment.close()
    return np.concatenate(seen)[:count]


def _of_the_replay(policy: Policy, count: int) -> Observations:
    """Return the observations of the checkpoint's newest replay segments."""
    if is_card(policy.run):
        raise ValueError("a card has no replay")
    segments = read_manifest(policy.run, policy.step).segments
    store, shape = DurableStore(policy.run / "replay"), policy.spaces.observation.shape
    found: list[Observations] = []
    for segment in reversed(segments):
        if policy.config.kind.frames:
            held = torch.cat(list(read_frame_segment(store, segment).frames)).numpy()  # (steps, members, ...)
            stack = shape[0] // held.shape[2] if len(shape) == 3 else 1
            places = np.arange(len(held) - stack + 1)[:, None] + np.arange(stack)
            found.append(np.moveaxis(held, 1, 0)[:, places].reshape(-1, *shape))
        else:
            found.append(read_segment(store, segment)["rows"][:, : shape[0]].numpy())
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count].astype(policy.spaces.observation.dtype)


def drawn(policy: Policy, count: int) -> Observations:
    """Return random observations: by the agent's statistics of observations if it has them, else from the space."""
    random, space = np.random.default_rng(SEED), policy.spaces.observation.space()
    size = (count, *space.shape)
    if (statistics := getattr(policy.agent, "statistics", None)) is not None:
        mean, variance = (getattr(statistics, name).cpu().numpy() for name in ("mean", "variance"))
        return np.asarray(mean + np.sqrt(variance) * random.standard_normal(size)).astype(space.dtype)
    if np.isfinite(space.low).all() and np.isfinite(space.high).all():
        if np.dtype(space.dtype).kind != "f":
            return random.integers(space.low, space.high, size, space.dtype, endpoint=True)  # type: ignore[arg-type]
        if (space.high - space.low).max() < 1e6:  # larger bounds, such as CartPole's, are never reached
            return random.uniform(space.low, space.high, size).astype(space.dtype)
    return np.clip(random.standard_normal(size), space.low, space.high).astype(space.dtype)
