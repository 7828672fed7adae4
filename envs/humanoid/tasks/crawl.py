"""Crawl: move through a tunnel on hands and knees, at walking speed; the episode never ends early."""

import mujoco
import numpy as np

from ..physics import Array, Physics
from ..rewards import moving, small_control
from ..scene import GLASS, add_boxes
from ..sensors import IMU_POSITION, PELVIS_ORIENTATION
from ..task import Parts, Task
from ..tolerances import ONE, near_zero_squared, within
from .locomotion import WALK_SPEED

CRAWLING_ORIENTATION = np.array([0.75, 0.0, 0.65, 0.0])  # of the pelvis, as a quaternion
TUNNEL_HALF_WIDTH = np.array(1.0)  # metres; outside of it there is no reward

TUNNEL_START = (2.2, 0.0, 0.0)
# Centre, relative to the tunnel's start, and half sizes of the tunnel's boxes, metres.
TUNNEL = (
    ((8, -1.35, 0.775), (8, 0.2, 0.775)),
    ((8, 1.35, 0.775), (8, 0.2, 0.775)),
    ((8, 0, 1.35), (8, 1.15, 0.2)),
)

EFFORT_WEIGHT, HEIGHT_WEIGHT, MOVE_WEIGHT, TURN_WEIGHT = np.array(0.1), np.array(0.25), np.array(0.4), np.array(0.25)

low = within(0.6, 1.0, margin=1)  # of a height, metres
leaning_forward = near_zero_squared(margin=1)  # of the squared distance from the crawling orientation
move = moving(WALK_SPEED)


def crawl(physics: Physics) -> tuple[Array, Parts]:
    """Reward a weighted sum of little effort, low head and torso, speed and orientation, within the tunnel's width."""
    imu = physics.reading("imu_position", 3)
    turn = physics.reading("pelvis_orientation", 4) - CRAWLING_ORIENTATION
    parts = {
        "small_control": small_control(physics),
        "crawling": low(imu[:, 2]),
        "crawling_head": low(physics.head_height),
        "move": move(physics),
        "in_tunnel": (np.abs(imu[:, 1]) <= TUNNEL_HALF_WIDTH) * ONE,
    }
    reward = (
        EFFORT_WEIGHT * parts["small_control"]
        + HEIGHT_WEIGHT * np.minimum(parts["crawling"], parts["crawling_head"])
        + MOVE_WEIGHT * parts["move"]
        + TURN_WEIGHT * leaning_forward(np.add.reduce(turn * turn, axis=-1))
    ) * parts["in_tunnel"]
    return reward, parts


def add_tunnel(spec: mujoco.MjSpec) -> None:
    """Add two walls and a ceiling, half transparent."""
    add_boxes(spec.worldbody.add_body(name="tunnel", pos=TUNNEL_START), TUNNEL, GLASS)


TASKS = (
    Task(
        "crawl",
        reward=crawl,
        furnish=add_tunnel,
        sensors=(IMU_POSITION, PELVIS_ORIENTATION),
        success_bar=700,
        random_return=272.658,
    ),
)
