"""Maze: walk around two corners, from checkpoint to checkpoint; the stage of a robot is its next checkpoint's index."""

import mujoco
import numpy as np

from ...rendering import Marker
from ..physics import Array, Physics
from ..rewards import discount, posture
from ..scene import BLACK, GLASS, GREEN, RED, Camera, add_boxes
from ..sensors import IMU_POSITION, body_contacts, body_position
from ..task import Parts, Rows, Task, TaskState
from ..tolerances import ONE, near_zero_squared, peak
from .locomotion import fallen

# For each stage, the checkpoint to reach and the velocity wanted on the way. In the last stage all are reached.
CHECKPOINTS = np.array([(0.0, 0.0), (3.0, 0.0), (3.0, 6.0), (6.0, 6.0), (6.0, 6.0)])  # metres
VELOCITIES = 2.0 * np.array([(1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, 1.0)])  # metres per second
LAST_STAGE = np.array(len(CHECKPOINTS) - 1)
NEAR_SQUARED = np.array(0.4**2)  # square of the distance, in metres, within which a checkpoint counts as reached
STAGE_BONUS = np.array(100.0)  # multiplied by the index of the stage that is reached

BLOCK = 1.5  # metres, the side of a block; the map's first row lies at the largest y
MAP = (
    "#######",
    "#     #",
    "### # #",
    "#     #",
    "# # ###",
    "#     #",
    "#######",
)
FIRST_BLOCK = (-1.5, 7.5)  # centre of the map's first block, metres
BLOCK_HALF_SIZES = (0.75, 0.75, 0.6)

FROM_THE_SIDE = Camera(position=(3, 3, 3), right=(-0.5, 0.5, 0), up=(-0.4, -0.4, 1))
MOVE_FLOOR, MOVE_RISE = np.array(1 / 6), np.array(5 / 6)
STAND_WEIGHT, MOVE_WEIGHT, NEAR_WEIGHT = np.array(0.2), np.array(0.4), np.array(0.4)

as_wanted = peak(margin=1)  # of a difference of speeds, metres per second
close = near_zero_squared(margin=1)  # of the square of a distance in metres


def maze(physics: Physics) -> tuple[Array, Parts]:
    """Reward a weighted sum of standing, the wanted velocity and being near the checkpoint, less if a block is touched,
    and add a bonus for each stage."""
    stage = physics.memory["stage"].astype(np.int64)
    parts = posture(physics)
    speeds = as_wanted(physics.center_of_mass_velocity[:, :2] - VELOCITIES.take(stage, axis=0))
    move = np.where(stage == LAST_STAGE, ONE, speeds[:, 0] * speeds[:, 1])
    way = CHECKPOINTS.take(stage, axis=0) - physics.reading("imu_position", 2)
    parts = {
        "stand_reward": parts["stand_reward"],
        "small_control": parts["small_control"],
        "move": move * MOVE_RISE + MOVE_FLOOR,
        "wall_collision_discount": discount(physics.reading("block_contacts")),
        "stage_convert_reward": physics.memory["bonus"].copy(),
        "checkpoint_proximity_reward": close(np.add.reduce(way * way, axis=-1)),
        "success_subtasks": physics.memory["stage"].copy(),
    }
    reward = (
        STAND_WEIGHT * (parts["stand_reward"] * parts["small_control"])
        + MOVE_WEIGHT * parts["move"]
        + NEAR_WEIGHT * parts["checkpoint_proximity_reward"]
    ) * parts["wall_collision_discount"]
    return reward + parts["stage_convert_reward"], parts


def count_stages(physics: Physics, rows: Rows) -> None:
    """Move the robots whose pelvis is near their checkpoint on to the next stage, and store its bonus."""
    stage = physics.memory["stage"][rows]
    way = physics.reading("pelvis_position", 2)[rows] - CHECKPOINTS.take(stage.astype(np.int64), axis=0)
    reached = (np.add.reduce(way * way, axis=-1) < NEAR_SQUARED) & (stage < LAST_STAGE)
    following = stage + reached
    physics.memory["stage"][rows] = following
    physics.memory["bonus"][rows] = reached * following * STAGE_BONUS


def show_checkpoints(physics: Physics) -> tuple[Marker, ...]:
    """Return markers for the checkpoints: green if reached, red for the next one, black for all later ones."""
    stage = int(physics.memory["stage"][0])
    return tuple(
        Marker((x, y, 1.0), radius=0.05, rgba=GREEN if number < stage else RED if number == stage else BLACK)
        for number, (x, y) in enumerate(CHECKPOINTS[:-1].tolist())
    )


def add_maze(spec: mujoco.MjSpec) -> None:
    """Add the blocks of the map, half transparent."""
    x, y = FIRST_BLOCK
    blocks = [
        ((x + BLOCK * column, y - BLOCK * row, BLOCK_HALF_SIZES[2]), BLOCK_HALF_SIZES)
        for row, line in enumerate(MAP)
        for column, mark in enumerate(line)
        if mark == "#"
    ]
    add_boxes(spec.worldbody.add_body(name="maze"), blocks, GLASS)


TASKS = (
    Task(
        "maze",
        reward=maze,
        terminated=fallen,
        furnish=add_maze,
        sensors=(IMU_POSITION, body_position("pelvis"), body_contacts("block_contacts", "maze")),
        camera=FROM_THE_SIDE,
        memory={"stage": TaskState(highest=len(CHECKPOINTS) - 1), "bonus": TaskState()},
        keep=count_stages,
        markers=show_checkpoints,
        success_bar=1200,
        random_return=106.441,
    ),
)
