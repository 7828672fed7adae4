"""The original HumanoidBench package, if it is installed, with this project's interface."""

from typing import Any

from .package import PREFIX, build, original_available, spec_of
from .single import OriginalEnv
from .vector import OriginalVectorEnv

__all__ = ["PREFIX", "OriginalEnv", "OriginalVectorEnv", "make_original", "original_available"]


def make_original(task: str) -> Any:
    """Return the original's own environment of an H1 task (a `MujocoEnv`) without any wrapper, for comparisons."""
    return build(spec_of(f"{PREFIX}h1-{task}-v0"))
