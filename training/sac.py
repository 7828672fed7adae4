"""Soft actor-critic as a run: its settings, and its parts made from them."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from agents import SAC, SACSettings
from agents.sac import PUBLISHED_INTERVENTIONS

from .build import Parts, assemble, flat_sizes
from .settings import RunSettings


@dataclass(frozen=True)
class SACRun:
    """Every setting of a SAC run: what the command line takes and the run's config keeps."""

    run: RunSettings = field(default_factory=RunSettings)
    agent: SACSettings = field(default_factory=SACSettings)


def build(config: SACRun) -> Parts:
    """The parts of a SAC run, from its settings alone; raises ValueError, in one line, where they cannot be met."""
    config.agent.check()
    return assemble(config.run, partial(build_agent, config), config.agent.batch_size, PUBLISHED_INTERVENTIONS)


def build_agent(
    config: SACRun, environment: VectorEnv, seed: np.random.SeedSequence, device: torch.device | str
) -> SAC:
    """The agent alone, for an environment's sizes and episode length."""
    observation_size, action_size = flat_sizes(environment, config.run.env)
    limit = environment.spec.max_episode_steps if environment.spec else None
    gamma = config.agent.discount(limit / config.run.action_repeat if limit else None)
    return SAC(observation_size, action_size, config.agent, seed=seed, gamma=gamma, device=device)
