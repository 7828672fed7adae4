"""Crawl: through a tunnel on hands and knees, at walking speed; the episode never ends early."""

from __future__ import annotations

import mujoco
import numpy as np

from ..physics import Array, Physics
from ..rewards import moving, near_zero, small_control, within
from ..task import Parts, Task

LOW, HIGH = 0.6, 1.0  # of the head and the torso's inertial unit, metres
CRAWL_SPEED = 1.0  # metres per second
CRAWLING_ORIENTATION = (0.75, 0.0, 0.65, 0.0)  # of the pelvis, as a quaternion
TUNNEL_HALF_WIDTH = 1.0  # the reward is paid inside alone

# Centre and half sizes of the tunnel's boxes, metres.
TUNNEL = {
    "left_wall": ((10.2, -1.35, 0.775), (8, 0.2, 0.775)),
    "right_wall": ((10.2, 1.35, 0.775), (8, 0.2, 0.775)),
    "ceiling": ((10.2, 0, 1.35), (8, 1.15, 0.2)),
}


def crawl(physics: Physics) -> tuple[Array, Parts]:
    """A weighted sum of little effort, low head and torso, speed and orientation, inside the tunnel's width."""
    turned_away = np.sqrt(((physics.pelvis_orientation - CRAWLING_ORIENTATION) ** 2).sum(axis=-1))
    imu = physics.imu_position
    parts = {
        "small_control": small_control(physics),
        "crawling": within(imu[:, 2], LOW, HIGH, margin=1),
        "crawling_head": within(physics.head_height, LOW, HIGH, margin=1),
        "move": moving(physics, CRAWL_SPEED),
        "orientation": near_zero(turned_away, margin=1),
        "in_tunnel": (np.abs(imu[:, 1]) <= TUNNEL_HALF_WIDTH).astype(np.float64),
    }
    reward = (
        0.1 * parts["small_control"]
        + 0.25 * np.minimum(parts["crawling"], parts["crawling_head"])
        + 0.4 * parts["move"]
        + 0.25 * parts["orientation"]
    ) * parts["in_tunnel"]
    return reward, parts


def add_tunnel(spec: mujoco.MjSpec) -> None:
    """Two walls and a ceiling, half transparent."""
    tunnel = spec.worldbody.add_body(name="tunnel")
    for name, (center, half_sizes) in TUNNEL.items():
        tunnel.add_geom(
            name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=half_sizes, rgba=(0.5, 0.5, 0.5, 0.3)
        )


TASKS = (Task("crawl", reward=crawl, furnish=add_tunnel, success_bar=700),)
