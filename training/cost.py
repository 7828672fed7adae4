"""What a run will cost on this machine, measured before it starts."""

import time

import numpy as np
import torch

from replay import Batch

from .algorithms import Config, algorithm_of
from .build import Parts, Streams

WORTH_SAYING = 20 * 60  # seconds
ENOUGH_ENVIRONMENTS = 64  # to keep every core busy


def say_what_it_costs(config: Config, parts: Parts, steps_left: int) -> None:
    """On a CPU, one line with the time a long run will take, from rates measured now on parts of no use to it."""
    settings = config.run
    updates = settings.ratios[1] * steps_left / settings.action_repeat
    if parts.agent.device.type != "cpu" or updates < 10_000:
        return
    try:
        update_rate, step_rate = update_rate_of(config, parts), step_rate_of(parts)
    except ValueError:  # no memory for a second agent beside the run's own
        return
    seconds = updates / update_rate + steps_left / step_rate
    if seconds > WORTH_SAYING:
        print(
            f"on this CPU: {update_rate:.1f} updates/s and {step_rate:,.0f} environment steps/s, "
            f"so about {spoken(seconds)} for {updates:,.0f} updates; for a result in minutes: --preset quick"
        )


def update_rate_of(config: Config, parts: Parts) -> float:
    """Updates per second of an agent of the same size on made-up batches."""
    agent = algorithm_of(config).build_agent(config, parts.environment, Streams.spawn(config.run.seed, 1).agent, "cpu")
    lead = (3, config.agent.batch_size)
    spaces = parts.environment.single_observation_space, parts.environment.single_action_space
    observations, actions = (torch.from_numpy(np.zeros((*lead, *(space.shape or ())), space.dtype)) for space in spaces)
    batch = Batch(observations, actions, torch.zeros(lead), observations, torch.zeros(lead), torch.ones(lead))
    agent.update(Batch(*(tensor[:1] for tensor in batch)))
    start = time.perf_counter()
    agent.update(batch)
    return 3 / (time.perf_counter() - start)


def step_rate_of(parts: Parts) -> float:
    """Environment steps per second under random actions, in environments like the run's own, some of them."""
    settings = parts.settings
    environment = parts.world.vector(min(settings.num_envs, ENOUGH_ENVIRONMENTS))
    environment.reset(seed=0)
    environment.action_space.seed(0)
    calls = max(1, 200 // environment.num_envs)
    start = time.perf_counter()
    for _ in range(calls):
        environment.step(environment.action_space.sample())
    elapsed = time.perf_counter() - start
    environment.close()
    return calls * environment.num_envs * settings.action_repeat / elapsed


def spoken(seconds: float) -> str:
    """A duration as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
