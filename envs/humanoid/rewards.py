"""The parts of a reward that most H1 tasks share, each in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .physics import Array, Physics
from .robot import LINKS
from .tolerances import at_least, gaussian, linear, quadratic

# As constants, see `tolerances`.
CONTROL_WEIGHT, CONTROL_FLOOR = np.array(1 / (5 * len(LINKS))), np.array(4 / 5)
MOVE_WEIGHT, MOVE_FLOOR = np.array(5 / 6), np.array(1 / 6)
HALF = np.array(0.5)

motor_at_rest = quadratic(margin=10)  # of a torque, N m
calm = gaussian(margin=2)  # of a speed, m/s


def small_control(physics: Physics) -> Array:
    """(4 + the mean over the motors of how much each is at rest) / 5."""
    return np.add.reduce(motor_at_rest(physics.actuator_forces), axis=-1) * CONTROL_WEIGHT + CONTROL_FLOOR


def still(physics: Physics) -> Array:
    """The centre of mass is calm along x and y: the mean of the two."""
    both = calm(physics.center_of_mass_velocity[:, :2])
    return (both[:, 0] + both[:, 1]) * HALF


def moving(speed: float) -> Callable[[Physics], Array]:
    """(1 + 5 times how nearly the centre of mass moves at `speed` along x) / 6."""
    fast_enough = at_least(speed, linear(margin=speed))
    return lambda physics: fast_enough(physics.forward_velocity) * MOVE_WEIGHT + MOVE_FLOOR
