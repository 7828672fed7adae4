"""DQN: how it is built, its presets, and its methods as published."""

import numpy as np
import torch
from gymnasium import spaces

from fire_rl.fire.published import DQN as PUBLISHED_METHODS
from fire_rl.place import called

from ..agent import Kind, PresetValues, Surroundings
from .agent import DQN
from .settings import DQNSettings

PUBLISHED = {
    "env": "Breakout",
    "steps": 2_500_000,
    "num_envs": 4,
    "action_repeat": 1,
    "replay_ratio": 1,
    "learning_starts": 20_000,
    "eval_every": 250_000,
    "log_every": 10_000,
    "checkpoint_every": 250_000,
}
PRESETS = {
    "standard": PresetValues("the published agent on games as in ALE v5; evaluations of 10 episodes", PUBLISHED),
    "paper": PresetValues(
        "the published setting of FIRE's Atari experiments, with its preprocessing and long evaluations",
        PUBLISHED | {"eval_steps": 125_000, "sticky_per": "decision"},
    ),
    "atari100k": PresetValues(
        "100,000 steps; double DQN, 10-step returns, up to 30 no-ops, no sticky actions, lost lives end episodes",
        {
            "env": "Breakout",
            "steps": 100_000,
            "num_envs": 1,
            "action_repeat": 1,
            "replay_ratio": 1,
            "learning_starts": 1_600,
            "eval_every": 10_000,
            "checkpoint_every": 10_000,
            "learning_rate": 1e-4,
            "double": True,
            "n_steps": 10,
            "exploration_steps": 5_000,
            "explore_together": False,
            "sticky": 0.0,
            "noop_max": 30,
            "terminal_on_life_loss": True,
        },
    ),
    "quick": PresetValues(
        "MinAtar/Breakout-v1, minutes on two CPU cores",
        {
            "env": "MinAtar/Breakout-v1",
            "steps": 100_000,
            "num_envs": 4,
            "action_repeat": 1,
            "replay_ratio": 1,
            "learning_starts": 2_000,
            "replay_capacity": 100_000,
            "eval_every": 5_000,
            "checkpoint_every": 25_000,
            "learning_rate": 2.5e-4,
            "target_every": 1_000,
        },
    ),
}
DESCRIPTION = """Train DQN. A game's name is enough: --env Breakout.

  Without a preset this is the published agent of the FIRE paper on games as in ALE v5.
  An Atari step is one decision, --frame-skip emulator frames. --steps, --eval-every, --checkpoint-every, --reinit-at,
  --exploration-steps and @STEP count environment steps of all environments together; --reinit-every and
  --target-every count gradient updates. Higher replay ratios: --replay-ratio 2 up to 16."""


def build(surroundings: Surroundings, settings: DQNSettings, seed: np.random.SeedSequence, device: torch.device) -> DQN:
    """Return an agent for these observations and actions."""
    observations, actions = _spaces(surroundings)
    assert settings.exploration_steps is not None  # resolved when the run was made
    return DQN(
        observations.shape,
        int(actions.n),
        settings,
        seed=seed,
        gamma=settings.gamma,
        scale=1 / 255 if observations.dtype == np.uint8 and observations.high.max() == 255 else 1.0,
        exploration_decisions=settings.exploration_steps // surroundings.action_repeat,
        device=device,
    )


def _spaces(surroundings: Surroundings) -> tuple[spaces.Box, spaces.Discrete]:
    """Return the spaces of observations and actions; raise ValueError if DQN cannot use them."""
    name, observation, action, *_ = surroundings
    if isinstance(action, spaces.Box):
        raise ValueError(f"{name}: DQN needs discrete actions, this environment's are continuous: use {called('sac')}")
    if not isinstance(action, spaces.Discrete):
        raise ValueError(f"{name}: DQN needs discrete actions, this environment's are {action}")
    if isinstance(observation, spaces.Box) and len(observation.shape) == 3 and observation.shape[2] <= 4:
        raise ValueError(f"{name}: images of shape {observation.shape} have channels last; DQN needs channels first")
    if not (isinstance(observation, spaces.Box) and len(observation.shape) in (1, 3)):
        raise ValueError(
            f"{name}: DQN needs vectors or images (channels, height, width), this environment's observations are "
            f"{observation}"
        )
    return observation, action


KIND = Kind(DQNSettings, _spaces, build, PUBLISHED_METHODS, PRESETS, DESCRIPTION, frames=True, actions="discrete")

__all__ = ["DQN", "KIND", "PUBLISHED_METHODS", "DQNSettings"]
