"""Walk, stand and run: stay tall and upright with little effort, at a given speed along x."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import moving, posture, still
from ..task import Parts, Task

WALK_SPEED = 1.0  # metres per second
RUN_SPEED = 5.0
FALLEN = np.array(0.2)  # height of the pelvis below which the episode ends


def stand(physics: Physics) -> tuple[Array, Parts]:
    """Reward little effort, and standing tall, upright and still."""
    parts = posture(physics)
    parts["dont_move"] = still(physics)
    return parts["small_control"] * parts["stand_reward"] * parts["dont_move"], parts


def go(speed: float) -> Callable[[Physics], tuple[Array, Parts]]:
    """Return a reward for little effort, for being tall and upright, and for the given speed."""
    move = moving(speed)

    def reward(physics: Physics) -> tuple[Array, Parts]:
        parts = posture(physics)
        parts["move"] = move(physics)
        return parts["small_control"] * parts["stand_reward"] * parts["move"], parts

    return reward


def fallen(physics: Physics) -> NDArray[np.bool_]:
    """End an episode if the pelvis is near the floor."""
    return physics.pelvis_height < FALLEN


TASKS = (
    Task("walk", reward=go(WALK_SPEED), terminated=fallen, success_bar=700, random_return=2.377),
    Task("stand", reward=stand, terminated=fallen, success_bar=800, random_return=10.545),
    Task("run", reward=go(RUN_SPEED), terminated=fallen, success_bar=700, random_return=2.02),
)
