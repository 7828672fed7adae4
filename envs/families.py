"""The families of environments in one table: which names belong to a family, how its environments are made, and how
much memory and time they need.

A name belongs to the first family that claims it. To add a family, add an entry to `FAMILIES`.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from .atari import AtariEnv, AtariVectorEnv
from .atari_names import is_atari
from .atari_settings import AtariSettings
from .generic import is_mujoco_task, make_generic, make_generic_vector
from .humanoid import HumanoidEnv, HumanoidVectorEnv
from .known_names import NATIVE, gymnasium_id, native_name, require_known
from .minatar import PREFIX as MINATAR
from .minatar import make_minatar, make_minatar_vector
from .original import PREFIX as ORIGINAL
from .original import OriginalEnv, OriginalVectorEnv
from .saved import with_seeds, with_state
from .suite import PREFIX as SUITE
from .suite import make_suite, make_suite_vector

STANDARD_ATARI = AtariSettings()
PICTURES_KEPT = 4  # of an Atari game: the present and the previous observation, and a copy of each


class Needs(NamedTuple):
    """The memory and time that one of many environments needs, as measured; used before any environment is made."""

    bytes: int
    seconds: float  # to make it and to begin its first episode


class EnvRequest(NamedTuple):
    """The arguments of `make` or `make_vec`. `atari` is used by Atari games only, `threads` by native engines only."""

    name: str
    seed: int | None
    action_repeat: int
    atari: AtariSettings
    render_mode: str | None = None
    num_envs: int = 1
    threads: int = 1


class Family(NamedTuple):
    """Environments that are made in the same way."""

    claims: Callable[[str], bool]
    make: Callable[[EnvRequest], gym.Env[Any, Any]]
    make_vec: Callable[[EnvRequest], VectorEnv[Any, Any, Any]]
    needs: Callable[[str, AtariSettings], Needs]
    has_threads: bool = False


def family_of(name: str) -> Family:
    """Return the family that a name belongs to."""
    return next(family for family in FAMILIES if family.claims(name))


def needs_of_one(name: str, atari: AtariSettings = STANDARD_ATARI) -> Needs:
    """Return what one environment of a vector needs; `atari` is used for Atari games only."""
    return family_of(name).needs(name, atari)


def _make_native(request: EnvRequest) -> gym.Env[Any, Any]:
    env = HumanoidEnv(NATIVE[native_name(request.name)], request.seed, request.action_repeat, request.render_mode)
    env.spec = _native_spec(request, action_repeat=request.action_repeat, render_mode=request.render_mode)
    return env


def _make_native_vector(request: EnvRequest) -> VectorEnv[Any, Any, Any]:
    task = NATIVE[native_name(request.name)]
    env = HumanoidVectorEnv(task, request.num_envs, request.seed, request.action_repeat, request.threads)
    env.spec = _native_spec(request, action_repeat=request.action_repeat)
    return env


def _native_spec(request: EnvRequest, **settings: Any) -> EnvSpec:
    spec = copy.deepcopy(gym.spec(gymnasium_id(request.name)))
    spec.kwargs |= settings
    return spec


def _atari_settings(request: EnvRequest) -> AtariSettings:
    if request.action_repeat != 1:
        held = f"{request.name} holds an action for --frame-skip emulator frames"
        raise ValueError(f"action_repeat is {request.action_repeat}; {held}")
    return request.atari


def _make_any(request: EnvRequest) -> gym.Env[Any, Any]:
    require_known(request.name)
    return with_seeds(make_generic(request.name, request.action_repeat, request.render_mode), request.seed)


def _make_any_vector(request: EnvRequest) -> VectorEnv[Any, Any, Any]:
    require_known(request.name)
    return with_state(make_generic_vector(request.name, request.num_envs, request.seed, request.action_repeat))


NATIVE_TASKS = Family(
    claims=lambda name: native_name(name) in NATIVE,
    make=_make_native,
    make_vec=_make_native_vector,
    needs=lambda name, atari: Needs(20_000, 0.0004),  # little memory, because all environments share one model
    has_threads=True,
)
ATARI_GAMES = Family(
    claims=is_atari,
    make=lambda request: AtariEnv(request.name, request.seed, request.render_mode, _atari_settings(request)),
    make_vec=lambda request: AtariVectorEnv(
        request.name, request.num_envs, request.seed, _atari_settings(request), request.threads
    ),
    needs=lambda name, atari: Needs(1_500_000 + PICTURES_KEPT * atari.stack * atari.screen_size**2, 0.25),
    has_threads=True,
)
SUITE_TASKS = Family(
    claims=lambda name: name.startswith(SUITE),
    make=lambda request: make_suite(request.name, request.seed, request.action_repeat, request.render_mode),
    make_vec=lambda request: make_suite_vector(request.name, request.num_envs, request.seed, request.action_repeat),
    needs=lambda name, atari: Needs(103_000_000, 0.3) if name.startswith(f"{SUITE}dog") else Needs(13_000_000, 0.1),
)
MINATAR_GAMES = Family(
    claims=lambda name: name.startswith(MINATAR),
    make=lambda request: make_minatar(request.name, request.seed, request.action_repeat, request.render_mode),
    make_vec=lambda request: make_minatar_vector(request.name, request.num_envs, request.seed, request.action_repeat),
    needs=lambda name, atari: Needs(20_000, 0.001),
)
ORIGINAL_TASKS = Family(
    claims=lambda name: name.startswith(ORIGINAL),
    make=lambda request: OriginalEnv(request.name, request.seed, request.action_repeat, request.render_mode),
    make_vec=lambda request: OriginalVectorEnv(
        request.name, request.num_envs, request.seed, request.action_repeat, request.threads
    ),
    needs=lambda name, atari: (
        Needs(250_000_000, 2.0) if name.startswith(f"{ORIGINAL}h1touch") else Needs(65_000_000, 0.3)
    ),
    has_threads=True,
)
WHATEVER_GYMNASIUM_KNOWS = Family(
    claims=lambda name: True,
    make=_make_any,
    make_vec=_make_any_vector,
    # Measured with Gymnasium's MuJoCo tasks, and with CartPole for all others, which may need more.
    needs=lambda name, atari: Needs(1_200_000, 0.005) if is_mujoco_task(name) else Needs(5_000, 0.0005),
)
FAMILIES = (NATIVE_TASKS, ATARI_GAMES, SUITE_TASKS, MINATAR_GAMES, ORIGINAL_TASKS, WHATEVER_GYMNASIUM_KNOWS)
