"""What an environment of a vector needs, as measured: known before any is made."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym

from .atari_names import is_atari
from .atari_settings import AtariSettings
from .minatar import PREFIX as MINATAR
from .original import PREFIX as ORIGINAL
from .registry import STANDARD_ATARI, native_name
from .suite import PREFIX as SUITE


class Needs(NamedTuple):
    """Of one environment, when there are many."""

    bytes: int
    seconds: float  # to make it and to begin its first episode


NATIVE = Needs(20_000, 0.0004)  # all share one model
SUITE_TASK, SUITE_DOG = Needs(13_000_000, 0.1), Needs(103_000_000, 0.3)
ORIGINAL_TASK, ORIGINAL_TOUCH = Needs(65_000_000, 0.3), Needs(250_000_000, 2.0)
MINATAR_GAME = Needs(20_000, 0.001)
MUJOCO_TASK = Needs(1_200_000, 0.005)  # Gymnasium's own
ANYTHING_ELSE = Needs(5_000, 0.0005)  # CartPole's, the least of what Gymnasium has
ATARI_EMULATOR, ATARI_SECONDS = 1_500_000, 0.25
PICTURES_KEPT = 4  # the observation of an Atari game, the one before, and their copies


def needs_of_one(name: str, atari: AtariSettings = STANDARD_ATARI) -> Needs:
    """By the environment's name; `atari` is for Atari games only."""
    if is_atari(name):
        return Needs(ATARI_EMULATOR + PICTURES_KEPT * atari.stack * atari.screen_size**2, ATARI_SECONDS)
    if native_name(name) is not None:
        return NATIVE
    if name.startswith(SUITE):
        return SUITE_DOG if name.startswith(f"{SUITE}dog") else SUITE_TASK
    if name.startswith(ORIGINAL):
        return ORIGINAL_TOUCH if name.startswith(f"{ORIGINAL}h1touch") else ORIGINAL_TASK
    if name.startswith(MINATAR):
        return MINATAR_GAME
    spec = gym.registry.get(name)
    return MUJOCO_TASK if spec and str(spec.entry_point).startswith("gymnasium.envs.mujoco") else ANYTHING_ELSE
