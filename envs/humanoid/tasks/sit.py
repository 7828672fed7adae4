"""Sit: sit down on a chair behind the robot; in the hard version the chair may move, and the robot starts turned at
random in front of it."""

import math

import mujoco
import numpy as np

from ..physics import Array, Physics
from ..rewards import HALF, small_control, still
from ..scene import HIDDEN_GROUP, OBJECT_DENSITY, WOOD, Boxes, add_boxes
from ..sensors import IMU_POSITION, body_position
from ..task import Parts, Task
from ..tolerances import near_zero, rising, within
from .obstacles import stumbled

CHAIR = (-0.25, 0.0, 0.0)  # its position, metres
# Centre, relative to the chair's position, and half sizes: of the boxes that are drawn, and of those that collide.
LOOK: Boxes = (
    ((0.19, 0.19, 0.225), (0.02, 0.02, 0.225)),
    ((0.19, -0.19, 0.225), (0.02, 0.02, 0.225)),
    ((-0.19, 0.19, 0.225), (0.02, 0.02, 0.225)),
    ((-0.19, -0.19, 0.225), (0.02, 0.02, 0.225)),
    ((0.0, 0.0, 0.45), (0.21, 0.21, 0.025)),
    ((-0.23, 0.19, 0.6375), (0.02, 0.02, 0.2125)),
    ((-0.23, -0.19, 0.6375), (0.02, 0.02, 0.2125)),
    ((-0.23, 0.0, 0.77), (0.02, 0.21, 0.08)),
)
BODY: Boxes = (((-0.23, 0.0, 0.65), (0.02, 0.21, 0.2)), ((0.0, 0.0, 0.2375), (0.21, 0.21, 0.2375)))

# The ranges of the start in the hard version: x and y in metres, the angle about the vertical in radians.
START_X, START_Y, START_YAW = (0.2, 0.4), (-0.15, 0.15), (-1.8, 1.8)

seat_height = within(0.68, 0.72, margin=0.2)  # of the pelvis, metres
over_the_seat, amid_the_seat = within(-0.19, 0.19, margin=0.2), near_zero(margin=0.1)  # along x and y, metres
sitting_tall = within(0.35, 0.45, margin=0.3)  # height of the head above the torso's middle
straight = rising(0.05, 0.95)  # of the cosine of the angle between the torso's axis and the vertical


def sit(physics: Physics) -> tuple[Array, Parts]:
    """Reward little effort, a pelvis at the seat's height and over the seat, an upright torso, and being still."""
    chair, imu = physics.reading("chair_position", 3), physics.reading("imu_position", 3)
    sitting = seat_height(physics.pelvis_height)
    on_chair = over_the_seat(physics.qpos[:, 0] - chair[:, 0]) * amid_the_seat(physics.qpos[:, 1] - chair[:, 1])
    posture, upright = sitting_tall(physics.head_height - imu[:, 2]), straight(physics.torso_upright)
    parts = {
        "small_control": small_control(physics),
        "sit_reward": (sitting + on_chair) * HALF * upright * posture,
        "dont_move": still(physics),
        "sitting": sitting,
        "upright": upright,
        "sitting_posture": posture,
    }
    return parts["small_control"] * parts["sit_reward"] * parts["dont_move"], parts


def turned_in_front(physics: Physics, row: int, generator: np.random.Generator) -> None:
    """Place the robot at random in front of the chair, turned about the vertical."""
    position = physics.qpos[row]
    position[0], position[1] = generator.uniform(*START_X), generator.uniform(*START_Y)
    half = generator.uniform(*START_YAW) / 2
    position[3:7] = math.cos(half), 0, 0, math.sin(half)


def add_fixed_chair(spec: mujoco.MjSpec) -> None:
    """Add a fixed chair."""
    _build(spec.worldbody.add_body(name="chair", pos=CHAIR))


def add_free_chair(spec: mujoco.MjSpec) -> None:
    """Add a free chair of 15.7 kg."""
    chair = spec.worldbody.add_body(name="chair", pos=CHAIR)
    chair.add_freejoint(name="chair")
    _build(chair)


def _build(chair: mujoco.MjsBody) -> None:
    add_boxes(chair, LOOK, WOOD, density=OBJECT_DENSITY, contype=0, conaffinity=0)
    add_boxes(chair, BODY, WOOD, density=0, group=HIDDEN_GROUP)


SENSORS = (IMU_POSITION, body_position("chair"))

TASKS = (
    Task(
        "sit_simple", reward=sit, terminated=stumbled, furnish=add_fixed_chair, sensors=SENSORS,
        success_bar=750, random_return=9.393,
    ),
    Task(
        "sit_hard", reward=sit, terminated=stumbled, furnish=add_free_chair, sensors=SENSORS,
        objects=(*CHAIR, 1.0, 0.0, 0.0, 0.0), place=turned_in_front, success_bar=750, random_return=2.448,
    ),
)  # fmt: skip
