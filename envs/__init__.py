"""Gymnasium environments and vector environments, made by name; `describe_names` lists the kinds of names."""

from . import graphics as graphics  # first, because it imports MuJoCo even if MUJOCO_GL names a missing library
from .atari_names import is_atari
from .atari_settings import PUBLISHED_ATARI, AtariSettings
from .families import needs_of_one
from .known_names import describe_names, names
from .observations import next_observations
from .reference_scores import normalised_score, references
from .registry import make, make_vec, register
from .seeding import spawn_seeds

register()

__all__ = [
    "PUBLISHED_ATARI",
    "AtariSettings",
    "describe_names",
    "is_atari",
    "make",
    "make_vec",
    "names",
    "needs_of_one",
    "next_observations",
    "normalised_score",
    "references",
    "spawn_seeds",
]
