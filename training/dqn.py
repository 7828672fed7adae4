"""DQN as a run: its settings, and its parts made from them."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

import envs
from agents import DQN, DQNSettings
from agents.dqn import PUBLISHED_INTERVENTIONS
from envs import AtariSettings
from replay import FrameReplay
from replay.frames import frame_replay_bytes
from replay.transitions import place_replay

from .build import Parts, Replay, assemble
from .memory import require_memory_for_learning
from .settings import RunSettings, flag
from .world import World


@dataclass(frozen=True)
class DQNRun:
    """Every setting of a DQN run: what the command line takes and the run's config keeps."""

    run: RunSettings = field(default_factory=RunSettings)
    agent: DQNSettings = field(default_factory=DQNSettings)
    atari: AtariSettings = field(default_factory=AtariSettings)

    @property
    def world(self) -> World:
        return World(self.run.env, self.run.action_repeat, self.atari)

    @property
    def evaluation_exploration(self) -> float:
        return self.agent.evaluation_exploration

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        self.run.check()
        self.agent.check()
        self.atari.check()

    def resolved(self) -> "DQNRun":
        """With what depends on the run's length spelled out, so that a longer --steps moves nothing."""
        exploration = self.agent.exploration_steps
        if exploration is None:
            exploration = max(1, self.run.steps // 10)
        return replace(self, run=self.run.resolved(), agent=replace(self.agent, exploration_steps=exploration))


def build(config: DQNRun) -> Parts:
    """The parts of a DQN run, from its settings alone; raises ValueError, in one line, where they cannot be met."""
    config.check()
    atari = envs.is_atari(config.run.env)
    clip = atari if config.agent.clip_rewards is None else config.agent.clip_rewards
    parts = assemble(
        config.run,
        partial(build_agent, config),
        config.agent.batch_size,
        PUBLISHED_INTERVENTIONS,
        world=config.world,
        make_replay=partial(frame_replay, config),
        learned_rewards=np.sign if clip else np.asarray,
        evaluation_exploration=config.evaluation_exploration,
    )
    idle = [] if atari else [flag(name) for name in config.atari.changed()]
    if not idle:
        return parts
    note = f"{config.run.env} is no Atari game: {', '.join(idle)} {'do' if len(idle) > 1 else 'does'} nothing here"
    return replace(parts, notes=(*parts.notes, note))


def build_agent(
    config: DQNRun, environment: VectorEnv, seed: np.random.SeedSequence, device: torch.device | str
) -> DQN:
    """The agent alone, for an environment's observations and actions."""
    observations, actions = spaces_of(environment, config.run.env)
    require_memory_for_learning(config.run, config.agent, environment, torch.device(device))
    assert config.agent.exploration_steps is not None  # resolved when the run was made
    return DQN(
        observations.shape,
        int(actions.n),
        config.agent,
        seed=seed,
        gamma=config.agent.gamma,
        scale=1 / 255 if observations.dtype == np.uint8 and observations.high.max() == 255 else 1.0,
        exploration_decisions=config.agent.exploration_steps // config.run.action_repeat,
        device=device,
    )


def frame_replay(config: DQNRun, environment: VectorEnv, held: int, device: torch.device) -> tuple[Replay, str]:
    """Each frame stored once: a stack's newest for Atari games, whole observations elsewhere."""
    observations, actions = spaces_of(environment, config.run.env)
    stack = config.atari.stack if envs.is_atari(config.run.env) else 1
    shape = (observations.shape[0] // stack, *observations.shape[1:])
    dtype = torch.uint8 if observations.dtype == np.uint8 else torch.float32
    place, note = place_replay(frame_replay_bytes(held, environment.num_envs, shape, dtype, stack), device)
    replay = FrameReplay(
        held,
        environment.num_envs,
        shape,
        stack=stack,
        dtype=dtype,
        first=config.atari.first_stack,
        device=place,
        n_steps=config.agent.n_steps,
        gamma=config.agent.gamma,
        actions=int(actions.n),
    )
    return replay, note


def spaces_of(environment: VectorEnv, name: str) -> tuple[spaces.Box, spaces.Discrete]:
    """DQN works on vectors or pictures and on actions that can be counted."""
    observation, action = environment.single_observation_space, environment.single_action_space
    if isinstance(action, spaces.Box):
        raise ValueError(f"{name}: DQN needs countable actions, this environment's are continuous: use train_sac.py")
    if not isinstance(action, spaces.Discrete):
        raise ValueError(f"{name}: DQN needs countable actions, this environment's are {action}")
    if isinstance(observation, spaces.Box) and len(observation.shape) == 3 and observation.shape[2] <= 4:
        raise ValueError(f"{name}: pictures of shape {observation.shape}, channels last; DQN needs them first")
    if not (isinstance(observation, spaces.Box) and len(observation.shape) in (1, 3)):
        raise ValueError(f"{name}: DQN needs vectors or (channels, height, width), observations are {observation}")
    return observation, action
