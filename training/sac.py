"""Soft actor-critic as a run: its settings, and its parts made from them."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from agents import SAC, SACSettings
from agents.sac import PUBLISHED_INTERVENTIONS

from .build import Parts, assemble
from .memory import require_memory_for_learning
from .settings import RunSettings
from .world import World


@dataclass(frozen=True)
class SACRun:
    """Every setting of a SAC run: what the command line takes and the run's config keeps."""

    run: RunSettings = field(default_factory=RunSettings)
    agent: SACSettings = field(default_factory=SACSettings)

    @property
    def world(self) -> World:
        return World(self.run.env, self.run.action_repeat)

    @property
    def evaluation_exploration(self) -> float:
        return 0.0

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        self.run.check()
        self.agent.check()

    def resolved(self) -> "SACRun":
        """With what depends on the run's length spelled out, so that a longer --steps moves nothing."""
        return replace(self, run=self.run.resolved())


def build(config: SACRun) -> Parts:
    """The parts of a SAC run, from its settings alone; raises ValueError, in one line, where they cannot be met."""
    config.check()
    make_agent = partial(build_agent, config)
    return assemble(config.run, make_agent, config.agent.batch_size, PUBLISHED_INTERVENTIONS, world=config.world)


def build_agent(
    config: SACRun, environment: VectorEnv, seed: np.random.SeedSequence, device: torch.device | str
) -> SAC:
    """The agent alone, for an environment's sizes and episode length."""
    observation_size, action_size = flat_sizes(environment, config.run.env)
    require_memory_for_learning(config.run, config.agent, environment, torch.device(device))
    limit = environment.spec.max_episode_steps if environment.spec else None
    gamma = config.agent.discount(limit / config.run.action_repeat if limit else None)
    return SAC(observation_size, action_size, config.agent, seed=seed, gamma=gamma, device=device)


def flat_sizes(environment: VectorEnv, name: str) -> tuple[int, int]:
    """Sizes of observation and action; SAC works on flat, bounded boxes."""
    observation, action = environment.single_observation_space, environment.single_action_space
    if isinstance(action, spaces.Discrete):
        raise ValueError(f"{name}: SAC needs continuous actions, this environment counts its own: use train_dqn.py")
    if not (isinstance(observation, spaces.Box) and len(observation.shape) == 1):
        raise ValueError(f"{name}: SAC needs flat vector observations, this environment's are {observation}")
    if not (isinstance(action, spaces.Box) and len(action.shape) == 1 and np.isfinite([action.low, action.high]).all()):
        raise ValueError(f"{name}: SAC needs bounded continuous actions, this environment's are {action}")
    return observation.shape[0], action.shape[0]
