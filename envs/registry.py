"""Environments by name: native H1 tasks, the original's, the Control suite's, Atari's, and all that Gymnasium knows."""

from __future__ import annotations

import copy
import difflib
import os
import textwrap
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from .atari import AtariEnv, AtariVectorEnv
from .atari_names import INSTALL, games, is_atari, require_no_other_spelling
from .atari_settings import AtariSettings
from .generic import make_generic, make_generic_vector
from .humanoid import EPISODE_STEPS, TASKS, HumanoidEnv, HumanoidVectorEnv
from .minatar import PREFIX as MINATAR
from .minatar import make_minatar, make_minatar_vector, minatar_names
from .original import PREFIX as ORIGINAL
from .original import OriginalEnv, OriginalVectorEnv
from .saved import with_seeds, with_state
from .suite import PREFIX as SUITE
from .suite import benchmark_names, make_suite, make_suite_vector

NAMESPACE = "fire_rl"
NATIVE = {f"h1-{name}": task for name, task in TASKS.items()}
STANDARD_ATARI = AtariSettings()


def make(
    name: str,
    seed: int | None = None,
    action_repeat: int = 1,
    render_mode: str | None = None,
    atari: AtariSettings = STANDARD_ATARI,
) -> gym.Env[Any, Any]:
    """One environment; its first `reset()` without a seed uses `seed`. `atari` is for Atari games only."""
    _require_positive("action_repeat", action_repeat)
    seed = _seed(seed)
    if is_atari(name):
        _require_no_repeat(name, action_repeat)
        return AtariEnv(name, seed, render_mode, atari)
    if name.startswith(SUITE):
        return make_suite(name, seed, action_repeat, render_mode)
    if name.startswith(MINATAR):
        return make_minatar(name, seed, action_repeat, render_mode)
    if name.startswith(ORIGINAL):
        return OriginalEnv(name, seed, action_repeat, render_mode)
    native = native_name(name)
    if native is None:
        _require_known(name)
        return with_seeds(make_generic(name, None, action_repeat, render_mode), seed)
    env = HumanoidEnv(NATIVE[native], seed, action_repeat, render_mode)
    env.spec = _spec(native, action_repeat=action_repeat, render_mode=render_mode)
    return env


def make_vec(
    name: str,
    num_envs: int,
    seed: int | None = None,
    action_repeat: int = 1,
    threads: int | None = None,
    atari: AtariSettings = STANDARD_ATARI,
) -> VectorEnv[Any, Any, Any]:
    """Several environments with same-step autoreset; the first `reset()` without a seed spreads `seed` over them.

    `threads` step native environments and Atari games; by default as many as there are processors, one per environment
    at most. `atari` is for Atari games only.
    """
    _require_positive("num_envs", num_envs)
    _require_positive("action_repeat", action_repeat)
    seed = _seed(seed)
    if name.startswith(SUITE):
        return make_suite_vector(name, num_envs, seed, action_repeat)
    if name.startswith(MINATAR):
        return make_minatar_vector(name, num_envs, seed, action_repeat)
    native, original = native_name(name), name.startswith(ORIGINAL)
    if native is None and not original and not is_atari(name):
        _require_known(name)
        return with_state(make_generic_vector(name, num_envs, seed, action_repeat))
    threads = min(num_envs, len(os.sched_getaffinity(0)) if threads is None else threads)
    _require_positive("threads", threads)
    if is_atari(name):
        _require_no_repeat(name, action_repeat)
        return AtariVectorEnv(name, num_envs, seed, atari, threads)
    if native is None:
        return OriginalVectorEnv(name, num_envs, seed, action_repeat, threads)
    env = HumanoidVectorEnv(NATIVE[native], num_envs, seed, action_repeat, threads)
    env.spec = _spec(native, action_repeat=action_repeat)
    return env


def native_name(name: str) -> str | None:
    """`h1-walk` for `h1-walk`, `h1-walk-v0` and `fire_rl/h1-walk-v0`; None where the name is not one of ours."""
    bare = name.removeprefix(f"{NAMESPACE}/").removesuffix("-v0")
    return bare if bare in NATIVE else None


def names() -> list[str]:
    """The native names, the Control suite's, Atari's and MinAtar's where they are installed, then Gymnasium's ids."""
    others = [*benchmark_names(), *(games() if find_spec("ale_py") else ()), *minatar_names()]
    return [*NATIVE, *others, *(name for name in gym.registry if not _has_another_name(name))]


def describe_names() -> str:
    """What kinds of names there are, a line each, for people."""
    tasks = textwrap.wrap(", ".join(TASKS), width=70)
    return "\n".join(
        (
            "h1-TASK: HumanoidBench's fourteen tasks of the H1, native. TASK is",
            *(f"  {line}" for line in tasks),
            f"{SUITE}DOMAIN-TASK: the DeepMind Control suite, such as {SUITE}humanoid-walk",
            "GAME: Atari games by their names in ale-py, such as Breakout or MsPacman",
            f"{MINATAR}GAME-v1: MinAtar's games on a grid, such as {MINATAR}Breakout-v1",
            f"{ORIGINAL}ID: the original package's robots and tasks, where it is installed,",
            f"  such as {ORIGINAL}h1hand-walk-v0",
            "ID: whatever Gymnasium knows, such as HalfCheetah-v5; module:ID: what a module registers",
        )
    )


def register() -> None:
    """Makes the native tasks known to Gymnasium as `fire_rl/h1-<task>-v0`; the bare names belong to the original."""
    for name, task in NATIVE.items():
        identifier = f"{NAMESPACE}/{name}-v0"
        if identifier not in gym.registry:  # both import names of this package may be in use
            gym.register(
                identifier,
                entry_point=f"{__name__}:make_registered",
                vector_entry_point=f"{__name__}:make_registered_vector",
                max_episode_steps=EPISODE_STEPS,
                reward_threshold=task.success_bar,
                kwargs={"name": name},
            )


def make_registered(name: str, render_mode: str | None = None, action_repeat: int = 1) -> gym.Env[Any, Any]:
    """What `gym.make("fire_rl/...")` calls."""
    return make(name, action_repeat=action_repeat, render_mode=render_mode)


def make_registered_vector(
    num_envs: int,
    name: str,
    action_repeat: int = 1,
    render_mode: str | None = None,
    max_episode_steps: int | None = EPISODE_STEPS,
) -> VectorEnv[Any, Any, Any]:
    """What `gym.make_vec("fire_rl/...")` calls."""
    if render_mode is not None:
        raise ValueError(f"render_mode is {render_mode!r}; a vector of {name} draws no pictures, one environment does")
    if max_episode_steps not in (None, EPISODE_STEPS):
        raise ValueError(f"max_episode_steps is {max_episode_steps}; episodes of {name} take {EPISODE_STEPS} steps")
    return make_vec(name, num_envs, action_repeat=action_repeat)


def _spec(native: str, **settings: Any) -> EnvSpec:
    spec = copy.deepcopy(gym.spec(f"{NAMESPACE}/{native}-v0"))
    spec.kwargs |= settings
    return spec


def _require_positive(what: str, value: int) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what} is {value}; allowed are whole numbers from 1 on")


def _seed(seed: int | None) -> int | None:
    """As Python's own number, whatever package it comes from."""
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ValueError(f"seed is {seed}; allowed are None and whole numbers from 0 on")
    return None if seed is None else int(seed)


def _has_another_name(identifier: str) -> bool:
    """Ours, and those that ale-py and MinAtar register when they are imported."""
    entry_point = str(gym.registry[identifier].entry_point)
    return identifier.startswith(f"{NAMESPACE}/") or entry_point.startswith(("ale_py", "minatar"))


def _require_no_repeat(name: str, action_repeat: int) -> None:
    if action_repeat != 1:
        raise ValueError(f"action_repeat is {action_repeat}; {name} holds an action for --frame-skip emulator frames")


def _require_known(name: str) -> None:
    bare = name.removeprefix("ale_py:").removeprefix("minatar:")  # the modules that would register them
    if bare not in gym.registry or _has_another_name(bare):
        require_no_other_spelling(bare)
    if bare != name and (is_atari(bare) or bare.startswith(MINATAR)):
        raise ValueError(f"environment {name!r} is called {bare!r} here")
    if ":" in name:
        if name.count(":") > 1 or not all(name.split(":")):
            raise ValueError(f"environment {name!r} is not of the form module:id, such as my_package:Task-v0")
        return  # the module registers it when imported
    try:
        gym.spec(name)
    except gym.error.Error:
        known = {known.lower(): known for known in [*games(), *names()]}
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4) or sorted(NATIVE)[:3]
        nearest = ", ".join(known.get(close, close) for close in near)
        missing = "" if find_spec("ale_py") else f"; Atari games need ale_py: {INSTALL}"
        raise ValueError(f"no environment is called {name!r}; the nearest names are {nearest}{missing}") from None
