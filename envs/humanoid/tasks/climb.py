"""Stair and slide: walk up and down steps, or smooth ramps."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import moving, small_control
from ..scene import GLASS, GREY, PALE, add_boxes
from ..sensors import site_position
from ..task import Parts, Task
from ..tolerances import at_least, rising
from .locomotion import WALK_SPEED

# Centre and half sizes, metres; a staircase is five boxes on top of each other, each shorter than the one below.
STAIRS = tuple(
    ((3.2 + 6 * flight, 0.0, 0.09 + 0.18 * layer), (2.7 - 0.6 * layer, 5.0, 0.09))
    for flight in range(4)
    for layer in range(5)
)
STAIR_WALLS = (
    ((13.5, -5.05, 2.0), (15.5, 0.1, 2.0)),
    ((13.5, 5.05, 2.0), (15.5, 0.1, 2.0)),
    ((-2.1, 0.0, 2.0), (0.1, 7.25, 2.0)),
)
# The side view of a wedge, (x, z), as wide as the path; there are nine wedges, one every ten metres.
WEDGE = ((0.3, 0.0), (5.3, 1.75), (10.3, 0.0))
WEDGE_HALF_WIDTH = 5.0
WEDGES = tuple(range(0, 90, 10))
SLIDE_WALLS = (
    ((48.85, -5.15, 4.0), (53.0, 0.15, 4.0)),
    ((48.85, 5.15, 4.0), (53.0, 0.15, 4.0)),
    ((-4.0, 0.0, 4.0), (0.15, 5.15, 4.0)),
)
TOPPLED = np.array(0.1)  # the episode ends if the cosine between the torso's axis and the vertical is below this

legs_stretched = at_least(1.2, margin=0.45)  # height of the head above a foot, metres
leaning = rising(-1.4, 0.5)  # of the cosine of the angle between the torso's axis and the vertical
move = moving(WALK_SPEED)


def climb(physics: Physics) -> tuple[Array, Parts]:
    """Reward little effort, a head high above both feet, an upright torso, and walking speed."""
    head, readings = physics.head_height, physics.last_readings
    left, right = physics.address("left_foot_position"), physics.address("right_foot_position")
    standing = legs_stretched(head - readings[:, left + 2]) * legs_stretched(head - readings[:, right + 2])
    upright = leaning(physics.torso_upright)
    parts = {
        "stand_reward": standing * upright,
        "small_control": small_control(physics),
        "move": move(physics),
        "standing": standing,
        "upright": upright,
    }
    return parts["stand_reward"] * parts["small_control"] * parts["move"], parts


def toppled(physics: Physics) -> NDArray[np.bool_]:
    """End an episode if the torso is nearly horizontal."""
    return physics.torso_upright < TOPPLED


def add_stairs(spec: mujoco.MjSpec) -> None:
    """Add four staircases, each up and down, between three walls."""
    add_boxes(spec.worldbody, STAIR_WALLS, GLASS)
    stairs = spec.worldbody.add_body(name="stairs")
    for number, step in enumerate(STAIRS):
        add_boxes(stairs, [step], PALE if number % 2 else GREY)


def add_slides(spec: mujoco.MjSpec) -> None:
    """Add nine wedges, each with a ramp up and a ramp down, between three walls."""
    add_boxes(spec.worldbody, SLIDE_WALLS, GLASS)
    edges = [(x, y, z) for x, z in WEDGE for y in (WEDGE_HALF_WIDTH, -WEDGE_HALF_WIDTH)]
    spec.add_mesh(name="wedge", uservert=np.array(edges).ravel())
    slides = spec.worldbody.add_body(name="slides")
    for x in WEDGES:
        slides.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="wedge", pos=(x, 0, 0), rgba=GREY)


FEET = (site_position("left_foot"), site_position("right_foot"))

TASKS = (
    Task(
        "stair", reward=climb, terminated=toppled, furnish=add_stairs, sensors=FEET,
        success_bar=700, random_return=3.112,
    ),
    Task(
        "slide", reward=climb, terminated=toppled, furnish=add_slides, sensors=FEET,
        success_bar=700, random_return=3.191,
    ),
)  # fmt: skip
