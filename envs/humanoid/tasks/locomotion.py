"""Stand, walk, run: stay tall and upright with little effort, at a given speed along x."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import moving, small_control, still
from ..task import Parts, Task
from ..tolerances import at_least, rising

STAND_HEIGHT = 1.65  # of the head, metres
WALK_SPEED = 1.0  # metres per second
RUN_SPEED = 5.0
FALLEN = np.array(0.2)  # height of the pelvis below which the episode ends

tall = at_least(STAND_HEIGHT, margin=STAND_HEIGHT / 4)
straight = rising(-1.0, 0.9)  # the torso's axis, as a cosine with the vertical


def stand(physics: Physics) -> tuple[Array, Parts]:
    """Little effort, tall and upright, not moving."""
    parts = _posture(physics)
    parts["dont_move"] = still(physics)
    return parts["small_control"] * parts["stand_reward"] * parts["dont_move"], parts


def go(speed: float) -> Callable[[Physics], tuple[Array, Parts]]:
    """Little effort, tall and upright, at the wanted speed."""
    move = moving(speed)

    def reward(physics: Physics) -> tuple[Array, Parts]:
        parts = _posture(physics)
        parts["move"] = move(physics)
        return parts["small_control"] * parts["stand_reward"] * parts["move"], parts

    return reward


def fallen(physics: Physics) -> NDArray[np.bool_]:
    """The pelvis is near the floor."""
    return physics.pelvis_height < FALLEN


def _posture(physics: Physics) -> Parts:
    standing, upright = tall(physics.head_height), straight(physics.torso_upright)
    return {
        "small_control": small_control(physics),
        "stand_reward": standing * upright,
        "standing": standing,
        "upright": upright,
    }


TASKS = (
    Task("stand", reward=stand, terminated=fallen, success_bar=800),
    Task("walk", reward=go(WALK_SPEED), terminated=fallen, success_bar=700),
    Task("run", reward=go(RUN_SPEED), terminated=fallen, success_bar=700),
)
