"""Stand, walk, run: stay tall and upright with little effort, at a given speed along x."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import moving, small_control, still, tall, upright
from ..task import Parts, Task

STAND_HEIGHT = 1.65  # of the head, metres
WALK_SPEED = 1.0  # metres per second
RUN_SPEED = 5.0
FALLEN = 0.2  # height of the pelvis below which the episode ends


def stand(physics: Physics) -> tuple[Array, Parts]:
    """Little effort, tall and upright, not moving."""
    parts = _posture(physics)
    parts["dont_move"] = still(physics)
    return parts["small_control"] * parts["stand_reward"] * parts["dont_move"], parts


def go(physics: Physics, speed: float) -> tuple[Array, Parts]:
    """Little effort, tall and upright, at the wanted speed."""
    parts = _posture(physics)
    parts["move"] = moving(physics, speed)
    return parts["small_control"] * parts["stand_reward"] * parts["move"], parts


def fallen(physics: Physics) -> NDArray[np.bool_]:
    """The pelvis is near the floor."""
    return physics.pelvis_height < FALLEN


def _posture(physics: Physics) -> Parts:
    standing = tall(physics, STAND_HEIGHT, margin=STAND_HEIGHT / 4)
    straight = upright(physics, 0.9)
    return {
        "small_control": small_control(physics),
        "stand_reward": standing * straight,
        "standing": standing,
        "upright": straight,
    }


TASKS = (
    Task("stand", reward=stand, terminated=fallen, success_bar=800),
    Task("walk", reward=functools.partial(go, speed=WALK_SPEED), terminated=fallen, success_bar=700),
    Task("run", reward=functools.partial(go, speed=RUN_SPEED), terminated=fallen, success_bar=700),
)
