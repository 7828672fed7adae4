"""Worlds by name, as Gymnasium environments and vector environments; `describe_names` says which."""

from . import graphics as graphics  # first: it gets MuJoCo imported whatever MUJOCO_GL says
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
