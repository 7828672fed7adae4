"""Returns as shares of the way from a random policy to success, so that tasks can be compared and averaged.

Of HumanoidBench's tasks: success as its authors set it, random returns as published with SimbaV2 (Lee et al., 2025,
arXiv:2502.15280; its code lists them).
"""

from __future__ import annotations

from typing import NamedTuple

from .humanoid import TASKS

ORIGINAL = "humanoid_bench:"


class References(NamedTuple):
    """What a random policy earns, and the return that counts as success."""

    random: float
    success: float


def references(name: str) -> References | None:
    """Of an environment, native or the original's; None where none are published."""
    bare = name.removeprefix(ORIGINAL).removeprefix("fire_rl/").removesuffix("-v0")
    task = TASKS.get(bare.removeprefix("h1-")) if bare.startswith("h1-") else None
    return None if task is None else References(task.random_return, task.success_bar)


def normalised_score(name: str, value: float) -> float | None:
    """0 for the return of a random policy, 1 for success; None where no references are published."""
    found = references(name)
    return None if found is None else (value - found.random) / (found.success - found.random)
