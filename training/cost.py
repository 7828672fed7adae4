"""The time that a run will take on this machine, measured before it starts."""

import math
import time
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from fire_rl.agents import Agent
from fire_rl.replay import Batch

from .probes import cost_in_words
from .settings import DriverSettings
from .work import Work

WORTH_SAYING = 20 * 60  # seconds; the time is printed only for longer runs
ENOUGH_ENVIRONMENTS = 64  # enough to keep every core busy


def say_what_it_costs(settings: DriverSettings, work: Work) -> None:
    """Print what measuring trainability costs, if that is asked for. On a CPU, print how long a long run will take.

    The rates are measured on a second learner and other environments, so that the run itself is not changed.
    """
    if (line := cost_in_words(settings, work)) is not None:
        print(line)
    steps = settings.steps - work.steps
    updates = settings.updates_in(steps)
    if work.device.type != "cpu" or updates < 10_000:
        return
    try:
        rates = work.rates()
    except ValueError:  # a second learner does not fit into memory
        return
    seconds = rates.seconds(updates, steps)
    if seconds > WORTH_SAYING:
        speed = f"{rates.updates_per_second:.1f} updates/s"
        if math.isfinite(rates.steps_per_second):
            speed += f" and {rates.steps_per_second:,.0f} {settings.unit}/s"
        print(
            f"on this CPU: {speed}, so about {duration_in_words(seconds)} for {updates:,.0f} updates; for a result in "
            "minutes: --preset quick"
        )


def update_rate(agent: Agent, batch_size: int, observations: gym.Space[Any], actions: gym.Space[Any]) -> float:
    """Measure the updates per second of an agent on random batches."""
    batch = made_up_batch((3, batch_size), observations, actions)
    agent.update(Batch(*(tensor[:1] for tensor in batch)))
    start = time.perf_counter()
    agent.update(batch)
    return 3 / (time.perf_counter() - start)


def made_up_batch(lead: tuple[int, ...], observations: gym.Space[Any], actions: gym.Space[Any]) -> Batch:
    """Return a batch of random examples, for measurements before there are real ones."""
    random = np.random.default_rng(0)

    def drawn(space: gym.Space[Any]) -> Tensor:
        shape = (*lead, *(space.shape or ()))
        if isinstance(space, gym.spaces.Discrete):
            return torch.from_numpy(random.integers(0, space.n, shape))
        if np.issubdtype(space.dtype, np.integer):
            return torch.from_numpy(random.integers(0, 256, shape).astype(space.dtype))
        return torch.from_numpy(random.uniform(-1, 1, shape).astype(space.dtype))

    seen, acted, following = drawn(observations), drawn(actions), drawn(observations)
    return Batch(seen, acted, torch.zeros(lead), following, torch.zeros(lead), torch.ones(lead))


def step_rate(environment: VectorEnv) -> float:
    """Measure the decisions per second under random actions, and close the environment."""
    environment.reset(seed=0)
    environment.action_space.seed(0)
    calls = max(1, 200 // environment.num_envs)
    start = time.perf_counter()
    for _ in range(calls):
        environment.step(environment.action_space.sample())
    elapsed = time.perf_counter() - start
    environment.close()
    return calls * environment.num_envs / elapsed


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the tensors' memory; memory that several of them share is counted once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def duration_in_words(seconds: float) -> str:
    """Return a duration in words, such as `3 hours`."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
