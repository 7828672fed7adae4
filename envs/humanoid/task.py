"""The definition of a task: a scene, a reward of named parts, and a rule for when an episode ends."""

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
START_NOISE = 0.01  # the largest difference of a generalised position at the start from the keyframe
STANDING_PELVIS: Vector = (0.0, 0.0, 0.98)

SIDE_CAMERA = Camera(position=(2, 3, 0.8), right=(-1, 0.5, 0), up=(-0.2, -0.2, 1))

Parts = dict[str, Array]
Rows = NDArray[np.int64] | slice  # indices of robots, or a slice for all of them, which is faster


def empty(spec: mujoco.MjSpec) -> None:
    """Add nothing to the scene."""


def never(physics: Physics) -> NDArray[np.bool_]:
    """Never end an episode before the time limit."""
    return np.zeros(physics.count, dtype=np.bool_)


def as_placed(physics: Physics, row: int, generator: np.random.Generator) -> None:
    """Change nothing at the start of an episode: the robot starts at the keyframe with noise."""


def nothing_to_keep(physics: Physics, rows: Rows) -> None:
    """Store nothing between steps."""


def positions_and_velocities(physics: Physics) -> Array:
    """Return all positions and then all velocities, those of objects included."""
    return physics.state.copy()


def no_markers(physics: Physics) -> tuple[Marker, ...]:
    """Return no markers: only the scene is drawn."""
    return ()


@dataclass(frozen=True)
class TaskState:
    """Numbers that a task stores for each robot between steps; `highest` is given if they are integers from 0."""

    shape: tuple[int, ...] = ()
    highest: int | None = None


@dataclass(frozen=True)
class Task:
    """One task of the H1. All its functions work on arrays over robots, so a task serves any number of robots."""

    name: str
    reward: Callable[[Physics], tuple[Array, Parts]]
    success_bar: float  # the return that HumanoidBench counts as success
    random_return: float  # the published return of a random policy; both numbers are used to normalise scores
    terminated: Callable[[Physics], NDArray[np.bool_]] = never
    furnish: Callable[[mujoco.MjSpec], None] = empty
    sensors: tuple[Sensor, ...] = ()
    pelvis: Vector = STANDING_PELVIS
    objects: tuple[float, ...] = ()  # initial generalised positions of free objects, which follow the robot's
    camera: Camera = SIDE_CAMERA
    memory: Mapping[str, TaskState] = field(default_factory=dict)
    place: Callable[[Physics, int, np.random.Generator], None] = as_placed  # changes the start of an episode
    keep: Callable[[Physics, Rows], None] = nothing_to_keep  # updates the memory of the robots that were stepped
    observe: Callable[[Physics], Array] = positions_and_velocities
    markers: Callable[[Physics], tuple[Marker, ...]] = no_markers  # drawn into pictures of the first robot

    def compile(self) -> mujoco.MjModel:
        """Return a new model of the task's scene."""
        start = (*start_position(self.pelvis), *self.objects)
        return compile_scene(start, self.furnish, ROBOT_SENSORS + self.sensors, self.camera)
