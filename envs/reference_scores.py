"""Normalised scores, from 0 for a random policy to 1 for success, so that tasks can be compared and averaged.

For HumanoidBench's tasks, success is the return that its authors set. The returns of a random policy are those
published with SimbaV2 (Lee et al., 2025, arXiv:2502.15280, listed in its code): for the H1 without hands they stand in
each task's file, for the H1 with hands in this file. For Atari games, 1 is the score of a human tester
(atari_scores.py).
"""

from typing import NamedTuple

from .atari_scores import RANDOM_AND_HUMAN
from .humanoid import TASKS
from .original import PREFIX as ORIGINAL

WITH_HANDS = {
    "walk": 2.505, "stand": 11.973, "run": 1.927, "reach": -50.024, "hurdle": 2.371, "crawl": 278.868, "maze": 106.233,
    "sit_simple": 10.768, "sit_hard": 2.477, "balance_simple": 10.17, "balance_hard": 10.032, "stair": 3.161,
    "slide": 3.142, "pole": 19.721,
}  # fmt: skip


class References(NamedTuple):
    """The return of a random policy, and the return that counts as success (in Atari games, a human tester's)."""

    random: float
    success: float


def references(name: str) -> References | None:
    """Return the references of an H1 task, native or the original's, or of one of 57 Atari games; None for others."""
    if name in RANDOM_AND_HUMAN:
        return References(*RANDOM_AND_HUMAN[name])
    bare = name.removeprefix(ORIGINAL) if name.startswith(ORIGINAL) else name.removeprefix("fire_rl/")
    robot, _, task = bare.removesuffix("-v0").partition("-")
    if task not in TASKS:
        return None
    if robot == "h1":
        return References(TASKS[task].random_return, TASKS[task].success_bar)
    if robot == "h1hand" and name.startswith(ORIGINAL):
        return References(WITH_HANDS[task], TASKS[task].success_bar)
    return None


def normalised_score(name: str, value: float) -> float | None:
    """Return the score of a return: 0 for a random policy, 1 for success or a human; None without references."""
    found = references(name)
    return None if found is None else (value - found.random) / (found.success - found.random)
