"""What makes a task: a scene, a reward of named parts, and when an episode ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from .physics import Array, Physics
from .robot import Vector
from .scene import Camera, compile_scene, start_position
from .sensors import ROBOT_SENSORS, Sensor

EPISODE_STEPS = 1000  # environment steps, of 20 ms each
START_NOISE = 0.01  # every generalised position starts within this of the keyframe's
STANDING_PELVIS: Vector = (0.0, 0.0, 0.98)

SIDE_CAMERA = Camera(position=(2, 3, 0.8), right=(-1, 0.5, 0), up=(-0.2, -0.2, 1))

Parts = dict[str, Array]


def empty(spec: mujoco.MjSpec) -> None:
    """Leaves the scene to the robot and the floor."""


def never(physics: Physics) -> NDArray[np.bool_]:
    """No episode ends before its time."""
    return np.zeros(physics.count, dtype=np.bool_)


@dataclass(frozen=True)
class Task:
    """One task of the H1; everything in it works on arrays over robots, so one definition serves any number."""

    name: str
    reward: Callable[[Physics], tuple[Array, Parts]]
    success_bar: float  # the return HumanoidBench counts as a success
    terminated: Callable[[Physics], NDArray[np.bool_]] = never
    furnish: Callable[[mujoco.MjSpec], None] = empty
    sensors: tuple[Sensor, ...] = ()
    pelvis: Vector = STANDING_PELVIS
    objects: tuple[float, ...] = ()  # generalised positions of free objects at the start, after the robot's
    camera: Camera = SIDE_CAMERA

    def compile(self) -> mujoco.MjModel:
        """A new model of the task's scene."""
        start = (*start_position(self.pelvis), *self.objects)
        return compile_scene(start, self.furnish, ROBOT_SENSORS + self.sensors, self.camera)
