"""Hurdle and pole: run over hurdles without touching the barriers, or walk between poles without touching them."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import HALF, discount, moving, posture
from ..scene import GLASS, GREY, Camera, add_boxes
from ..sensors import body_contacts
from ..task import Parts, Task
from ..tolerances import rising
from .locomotion import RUN_SPEED, fallen

# Centre and half sizes, metres.
HURDLES = tuple(((float(x), 0.0, 0.1875), (0.03, 5.0, 0.1875)) for x in range(7, 71, 7))
BARRIERS = (
    ((35.0, -4.725, 1.0), (35.5, 0.275, 1.0)),
    ((35.0, 4.725, 1.0), (35.5, 0.275, 1.0)),
    ((-0.525, 0.0, 1.0), (0.05, 5.0, 1.0)),
)
POLE_WALLS = (
    ((20.0, -3.15, 1.0), (20.75, 0.15, 1.0)),
    ((20.0, 3.15, 1.0), (20.75, 0.15, 1.0)),
    ((-0.6, 0.0, 1.0), (0.15, 3.0, 1.0)),
)
POLE_SIZE = (0.05, 1.0, 0.0)  # radius, half height
POLES_ACROSS = {1: (2.25, 0.75, -0.75, -2.25), 0: (1.5, 0.0, -1.5)}  # y of odd and even rows, one row each metre
POLE_ROWS = 41

FROM_BEHIND = Camera(position=(-3, 3, 3), right=(-0.5, -0.5, 0), up=(0.4, -0.4, 1))
POLE_SPEED = 0.5  # metres per second
STUMBLED = np.array(0.5)  # height of the pelvis below which an episode of pole ends

leaning = rising(-1.1, 0.8)  # in hurdle the torso may lean a little more than in walk
run, stroll = moving(RUN_SPEED), moving(POLE_SPEED)


def hurdle(physics: Physics) -> tuple[Array, Parts]:
    """Reward running as in the task run, less if one of the barriers on three sides is touched; hurdles may be
    touched."""
    parts = posture(physics, leaning)
    parts["move"] = run(physics)
    parts["wall_collision_discount"] = discount(physics.reading("barrier_contacts"))
    reward = parts["small_control"] * parts["stand_reward"] * parts["move"] * parts["wall_collision_discount"]
    return reward, parts


def pole(physics: Physics) -> tuple[Array, Parts]:
    """Reward standing and moving forward, half each, less if a pole is touched; walls may be touched."""
    parts = posture(physics)
    parts["move"] = stroll(physics)
    parts["collision_discount"] = discount(physics.reading("pole_contacts"))
    both = parts["small_control"] * parts["stand_reward"] + parts["move"]
    return both * HALF * parts["collision_discount"], parts


def stumbled(physics: Physics) -> NDArray[np.bool_]:
    """End an episode if the pelvis is low."""
    return physics.pelvis_height < STUMBLED


def add_hurdles(spec: mujoco.MjSpec) -> None:
    """Add ten hurdles as wide as the track, and barriers on the left, on the right and behind."""
    add_boxes(spec.worldbody, HURDLES, GREY)
    add_boxes(spec.worldbody.add_body(name="barriers"), BARRIERS, GLASS)


def add_poles(spec: mujoco.MjSpec) -> None:
    """Add rows of poles across the path, every other row shifted, and three walls."""
    add_boxes(spec.worldbody.add_body(name="walls"), POLE_WALLS, GLASS)
    poles = spec.worldbody.add_body(name="poles")
    for x in range(1, POLE_ROWS + 1):
        for y in POLES_ACROSS[x % 2]:
            poles.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=(x, y, 1), size=POLE_SIZE, rgba=GREY)


TASKS = (
    Task(
        "hurdle",
        reward=hurdle,
        terminated=fallen,
        furnish=add_hurdles,
        sensors=(body_contacts("barrier_contacts", "barriers"),),
        camera=FROM_BEHIND,
        success_bar=700,
        random_return=2.214,
    ),
    Task(
        "pole",
        reward=pole,
        terminated=stumbled,
        furnish=add_poles,
        sensors=(body_contacts("pole_contacts", "poles"),),
        success_bar=700,
        random_return=20.09,
    ),
)
