"""The agents at their published sizes with a replay to learn from; small ones with --quick."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.fire import PlasticityManager
from fire_rl.replay import FrameReplay, TransitionReplay

Made = TypeVar("Made", SAC, DQN)
H1_WALK = 51, 19  # observation, action
BREAKOUT = 4  # actions


@dataclass(frozen=True)
class Subject:
    """A function that makes an agent, the replay from which it learns, and the number of updates in a block."""

    name: str
    make: Callable[[torch.device], SAC | DQN]
    replay: TransitionReplay | FrameReplay
    updates: int
    batch_size: int

    @property
    def device(self) -> torch.device:
        """The device of the replay."""
        return self.replay.device

    def call(self, agent: SAC | DQN, plasticity: PlasticityManager | None = None) -> Callable[[], object]:
        """Return a function that does a block of updates as training does: drawn on the host, read on the device."""
        generator = torch.Generator().manual_seed(0)
        return lambda: agent.update(self.replay.draw(self.updates, self.batch_size, generator), plasticity)


def sac(device: torch.device, quick: bool) -> Subject:
    """Return SAC for h1-walk, with a replay of random transitions."""
    settings = SACSettings(critic_width=32, actor_width=16, batch_size=32) if quick else SACSettings()
    return Subject(
        "SAC", partial(make_sac, settings), transitions(2_000 if quick else 20_000, device), 2, settings.batch_size
    )


def strict(agent: Made) -> Made:
    """Let a capture that fails be an error, so that no ordinary update is taken for a captured one."""

    def fail(line: str) -> None:
        raise RuntimeError(line)

    agent.captured.say = fail
    return agent


def make_sac(settings: SACSettings, device: torch.device) -> SAC:
    """Return an agent for h1-walk."""
    return strict(SAC(*H1_WALK, settings, seed=np.random.SeedSequence(0), device=device))


def transitions(count: int, device: torch.device) -> TransitionReplay:
    """Return a replay of random transitions with h1-walk's sizes."""
    observation, action = H1_WALK
    replay, random, ends = TransitionReplay(count, *H1_WALK, device), np.random.default_rng(0), np.zeros(count, bool)
    replay.add(
        random.normal(size=(count, observation)), np.tanh(random.normal(size=(count, action))),
        random.uniform(size=count), random.normal(size=(count, observation)), ends, ends,
    )  # fmt: skip
    return replay


def dqn(device: torch.device, quick: bool) -> Subject:
    """Return DQN for Breakout, with a replay of random frames; with `quick`, they have MinAtar's size."""
    size, capacity = (10, 400) if quick else (84, 4_000)
    replay = FrameReplay(capacity, 4, (1, size, size), stack=4, device=device)
    random = np.random.default_rng(0)
    stacks = random.integers(256, size=(9, 4, 4, size, size), dtype=np.uint8)
    for number in range(replay.steps_held):
        ended = (number + np.arange(4) * 97) % 500 == 0
        actions, rewards = random.integers(BREAKOUT, size=4), np.ones(4, np.float32)
        replay.add(stacks[number % 8], actions, rewards, stacks[number % 8 + 1], ended, ended & False)
    # The target network is copied every 12 updates, so that this happens between the blocks here.
    settings = DQNSettings(network="minatar" if quick else "nature", target_every=12)
    return Subject("DQN", partial(make_dqn, settings, size), replay, 4, settings.batch_size)


def make_dqn(settings: DQNSettings, size: int, device: torch.device) -> DQN:
    """Return an agent for Breakout with frames of this size."""
    seed = np.random.SeedSequence(0)
    return strict(DQN((4, size, size), BREAKOUT, settings, seed=seed, scale=1 / 255, device=device))
