"""Soft actor-critic: how it is built, its presets, and its methods as published."""

import numpy as np
import torch
from gymnasium import spaces

from fire_rl.fire.published import SAC as PUBLISHED_METHODS
from fire_rl.place import called

from ..agent import Kind, PresetValues, Surroundings
from .agent import SAC
from .settings import SACSettings

PRESETS = {
    "paper": PresetValues("the published setting", {}),
    "quick": PresetValues(
        "narrower networks; takes minutes on two CPU cores",
        {
            "steps": 30_000,
            "learning_starts": 1_000,
            "eval_every": 2_000,
            "log_every": 500,
            "checkpoint_every": 7_500,
            "critic_width": 128,
            "actor_width": 64,
            "batch_size": 128,
            "learning_rate": 3e-4,
        },
    ),
}
DESCRIPTION = """Train SAC with SimBa networks. Without a preset this is the published setting of the FIRE paper;
--preset quick has narrower networks and takes minutes on two CPU cores.
--steps, --eval-every, --checkpoint-every, --reinit-at and @STEP count environment steps; --reinit-every counts
gradient updates; --learning-starts and --replay-capacity count decisions (environment steps / --action-repeat)."""


def build(surroundings: Surroundings, settings: SACSettings, seed: np.random.SeedSequence, device: torch.device) -> SAC:
    """Return an agent for these sizes of observations and actions, and this episode length."""
    observation_size, action_size = _sizes(surroundings)
    limit = surroundings.episode_steps
    gamma = settings.discount(limit / surroundings.action_repeat if limit else None)
    return SAC(observation_size, action_size, settings, seed=seed, gamma=gamma, device=device)


def _sizes(surroundings: Surroundings) -> tuple[int, int]:
    """Return the sizes of observations and actions; raise ValueError unless both are flat and actions are bounded."""
    name, observation, action, *_ = surroundings
    if isinstance(action, spaces.Discrete):
        raise ValueError(f"{name}: SAC needs continuous actions, this environment's are discrete: use {called('dqn')}")
    if not (isinstance(observation, spaces.Box) and len(observation.shape) == 1):
        raise ValueError(f"{name}: SAC needs flat vector observations, this environment's are {observation}")
    if not (isinstance(action, spaces.Box) and len(action.shape) == 1 and np.isfinite([action.low, action.high]).all()):
        raise ValueError(f"{name}: SAC needs bounded continuous actions, this environment's are {action}")
    if not np.issubdtype(action.dtype, np.floating):
        raise ValueError(f"{name}: SAC needs floating-point actions, this environment's are {action}")
    with np.errstate(over="ignore"):
        span = action.high - action.low
    if not np.isfinite(span).all():
        raise ValueError(
            f"{name}: SAC needs actions whose range {action.dtype} can hold, this environment's are {action}"
        )
    return observation.shape[0], action.shape[0]


KIND = Kind(SACSettings, _sizes, build, PUBLISHED_METHODS, PRESETS, DESCRIPTION, actions="continuous")

__all__ = ["KIND", "PUBLISHED_METHODS", "SAC", "SACSettings"]
