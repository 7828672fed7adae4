"""Make environments by name: native H1 tasks, HumanoidBench's originals, the Control suite, Atari, and Gymnasium's."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from fire_rl.cores import usable_cores

from .atari_settings import AtariSettings
from .families import STANDARD_ATARI, EnvRequest, family_of
from .humanoid import EPISODE_STEPS
from .known_names import NATIVE, gymnasium_id
from .seeding import checked_seed


def make(
    name: str,
    seed: int | None = None,
    action_repeat: int = 1,
    render_mode: str | None = None,
    atari: AtariSettings = STANDARD_ATARI,
) -> gym.Env[Any, Any]:
    """Make one environment; its first `reset()` without a seed uses `seed`. `atari` is used for Atari games only."""
    _require_positive("action_repeat", action_repeat)
    return family_of(name).make(EnvRequest(name, checked_seed(seed), action_repeat, atari, render_mode))


def make_vec(
    name: str,
    num_envs: int,
    seed: int | None = None,
    action_repeat: int = 1,
    threads: int | None = None,
    atari: AtariSettings = STANDARD_ATARI,
) -> VectorEnv[Any, Any, Any]:
    """Make a vector of environments with same-step autoreset.

    The first `reset()` without a seed derives a seed for each environment from `seed`. `threads` is the number of
    threads that step native environments and Atari games: by default one for each core that may be used, and never more
    than environments. `atari` is used for Atari games only.
    """
    _require_positive("num_envs", num_envs)
    _require_positive("action_repeat", action_repeat)
    family, seed = family_of(name), checked_seed(seed)
    if family.has_threads:
        threads = min(num_envs, usable_cores() if threads is None else threads)
        _require_positive("threads", threads)
    request = EnvRequest(name, seed, action_repeat, atari, num_envs=num_envs, threads=threads or 1)
    return family.make_vec(request)


def register() -> None:
    """Register the native tasks with Gymnasium as `fire_rl/h1-<task>-v0`.

    Ids without this prefix belong to the original package.
    """
    for name, task in NATIVE.items():
        identifier = gymnasium_id(name)
        if identifier not in gym.registry:
            gym.register(
                identifier,
                entry_point=f"{__name__}:make_registered",
                vector_entry_point=f"{__name__}:make_registered_vector",
                max_episode_steps=EPISODE_STEPS,
                reward_threshold=task.success_bar,
                kwargs={"name": name},
            )


def make_registered(name: str, render_mode: str | None = None, action_repeat: int = 1) -> gym.Env[Any, Any]:
    """Make one environment; `gym.make("fire_rl/...")` calls this."""
    return make(name, action_repeat=action_repeat, render_mode=render_mode)


def make_registered_vector(
    num_envs: int,
    name: str,
    action_repeat: int = 1,
    render_mode: str | None = None,
    max_episode_steps: int | None = EPISODE_STEPS,
) -> VectorEnv[Any, Any, Any]:
    """Make a vector of environments; `gym.make_vec("fire_rl/...")` calls this."""
    if render_mode is not None:
        raise ValueError(f"render_mode is {render_mode!r}; only a single environment of {name} draws, not a vector")
    if max_episode_steps not in (None, EPISODE_STEPS):
        raise ValueError(f"max_episode_steps is {max_episode_steps}; episodes of {name} take {EPISODE_STEPS} steps")
    return make_vec(name, num_envs, action_repeat=action_repeat)


def _require_positive(what: str, value: int) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what} is {value}; allowed are whole numbers from 1 on")
