"""The parts of a reward that many H1 tasks share, each in [0, 1]."""

from collections.abc import Callable

import numpy as np

from .physics import Array, Physics
from .robot import LINKS
from .task import Parts
from .tolerances import ONE, Tolerance, at_least, near_zero, rising

STAND_HEIGHT = 1.65  # of the head, metres
STRAINED = 10.0  # N m: the effort of a motor has its largest value from this torque on

# Constants are arrays: see `tolerances`.
COLLIDED = np.array(0.1)
FULL_EFFORT, EFFORT_WEIGHT = np.array(STRAINED**2), np.array(1 / (5 * len(LINKS) * STRAINED**2))
HALF = np.array(0.5)

calm = near_zero(margin=2)  # of a speed, m/s
tall = at_least(STAND_HEIGHT, margin=STAND_HEIGHT / 4)
straight = rising(-1.0, 0.9)  # of the cosine of the angle between the torso's axis and the vertical


def small_control(physics: Physics) -> Array:
    """Return 1 - e / 5, where e is the mean over the motors of min(torque / 10, 1)^2."""
    torques = physics.actuator_forces
    effort = np.add.reduce(np.minimum(torques * torques, FULL_EFFORT), axis=-1)
    return ONE - effort * EFFORT_WEIGHT


def still(physics: Physics) -> Array:
    """Return how calm the centre of mass is: the mean of the tolerances of its speeds along x and y."""
    both = calm(physics.center_of_mass_velocity[:, :2])
    return (both[:, 0] + both[:, 1]) * HALF


def moving(speed: float) -> Callable[[Physics], Array]:
    """Return the function (1 + 5 m) / 6, where m rises from 0 to 1 as the centre of mass reaches the speed along x."""
    fast_enough = rising(0, speed, floor=1 / 6)
    return lambda physics: fast_enough(physics.forward_velocity)


def posture(physics: Physics, straight: Tolerance = straight, tall: Tolerance = tall) -> Parts:
    """Return the parts for little effort and for standing, which is the product of being tall and being upright."""
    standing, upright = tall(physics.head_height), straight(physics.torso_upright)
    return {
        "small_control": small_control(physics),
        "stand_reward": standing * upright,
        "standing": standing,
        "upright": upright,
    }


def discount(contacts: Array) -> Array:
    """Return 0.1 where there is any contact, and 1 elsewhere."""
    return np.where(contacts, COLLIDED, ONE)
