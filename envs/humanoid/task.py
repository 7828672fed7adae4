"""What makes a task: a scene, a reward of named parts, and when an episode ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..rendering import Marker
from .physics import Array, Physics
from .robot import Vector
from .scene import Camera, compile_scene, start_position
from .sensors import ROBOT_SENSORS, Sensor

EPISODE_STEPS = 1000  # environment steps, of 20 ms each
START_NOISE = 0.01  # every generalised position starts within this of the keyframe's
STANDING_PELVIS: Vector = (0.0, 0.0, 0.98)

SIDE_CAMERA = Camera(position=(2, 3, 0.8), right=(-1, 0.5, 0), up=(-0.2, -0.2, 1))

Parts = dict[str, Array]
Rows = NDArray[np.int64] | slice  # which robots; all of them as a slice, which is quicker


def empty(spec: mujoco.MjSpec) -> None:
    """Leaves the scene to the robot and the floor."""


def never(physics: Physics) -> NDArray[np.bool_]:
    """No episode ends before its time."""
    return np.zeros(physics.count, dtype=np.bool_)


def as_placed(physics: Physics, row: int, generator: np.random.Generator) -> None:
    """Begins an episode as the keyframe and its noise left the robot."""


def nothing_to_keep(physics: Physics, rows: Rows) -> None:
    """Keeps nothing between steps."""


def positions_and_velocities(physics: Physics) -> Array:
    """Everything that moves: all positions, then all velocities."""
    return physics.state.copy()


def no_markers(physics: Physics) -> tuple[Marker, ...]:
    """Draws the scene alone."""
    return ()


@dataclass(frozen=True)
class TaskState:
    """Numbers that a task keeps of each robot between steps; `highest` is given for those that count from 0."""

    shape: tuple[int, ...] = ()
    highest: int | None = None


@dataclass(frozen=True)
class Task:
    """One task of the H1; everything in it works on arrays over robots, so one definition serves any number."""

    name: str
    reward: Callable[[Physics], tuple[Array, Parts]]
    success_bar: float  # the return HumanoidBench counts as a success
    random_return: float  # of a random policy, as published; with the success bar it normalises scores
    terminated: Callable[[Physics], NDArray[np.bool_]] = never
    furnish: Callable[[mujoco.MjSpec], None] = empty
    sensors: tuple[Sensor, ...] = ()
    pelvis: Vector = STANDING_PELVIS
    objects: tuple[float, ...] = ()  # generalised positions of free objects at the start, after the robot's
    camera: Camera = SIDE_CAMERA
    memory: Mapping[str, TaskState] = field(default_factory=dict)
    place: Callable[[Physics, int, np.random.Generator], None] = as_placed  # the task's own changes to a new start
    keep: Callable[[Physics, Rows], None] = nothing_to_keep  # renews the memory of robots that stepped
    observe: Callable[[Physics], Array] = positions_and_velocities
    markers: Callable[[Physics], tuple[Marker, ...]] = no_markers  # drawn into pictures of the first robot

    def compile(self) -> mujoco.MjModel:
        """A new model of the task's scene."""
        start = (*start_position(self.pelvis), *self.objects)
        return compile_scene(start, self.furnish, ROBOT_SENSORS + self.sensors, self.camera)
