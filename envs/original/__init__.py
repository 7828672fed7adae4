"""The original HumanoidBench package behind this project's interface, where it is importable."""

from typing import Any

from .package import PREFIX, build, original_available, spec_of
from .single import OriginalEnv
from .vector import OriginalVectorEnv

__all__ = ["PREFIX", "OriginalEnv", "OriginalVectorEnv", "make_original", "original_available"]


def make_original(task: str) -> Any:
    """The original's own environment of an H1 task (a `MujocoEnv`), without anything around it, to compare with."""
    return build(spec_of(f"{PREFIX}h1-{task}-v0"))
