"""Balance: stand still on a board that lies on a ball; in the hard version the ball may roll."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import STAND_HEIGHT, posture, still
from ..robot import Vector
from ..scene import DARK_GREY, GREY, OBJECT_DENSITY
from ..sensors import geom_contacts
from ..task import Parts, Task
from ..tolerances import at_least

BOARD_HALF_SIZES: Vector = (0.15, 0.55, 0.03)  # metres
BOARD_HEIGHT = 0.37
BALL_RADIUS = 0.17
FALLEN = np.array(0.8)  # height of the pelvis below which the episode ends

SENSORS = (
    geom_contacts("ball_contacts", "ball"),
    geom_contacts("ball_floor_contacts", "ball", "floor"),
    geom_contacts("ball_board_contacts", "ball", "board"),
    geom_contacts("floor_contacts", "floor"),
)

tall_on_the_board = at_least(STAND_HEIGHT + BOARD_HEIGHT, margin=STAND_HEIGHT / 4)


def balance(physics: Physics) -> tuple[Array, Parts]:
    """Reward little effort, and standing tall, upright and still on the board."""
    parts = posture(physics, tall=tall_on_the_board)
    parts["dont_move"] = still(physics)
    return parts["small_control"] * parts["stand_reward"] * parts["dont_move"], parts


def lost(physics: Physics) -> NDArray[np.bool_]:
    """End an episode if the robot has fallen, if the ball touches anything but floor and board, or if the floor touches
    anything but the ball."""
    ball_and_floor = physics.reading("ball_floor_contacts")
    ball_elsewhere = physics.reading("ball_contacts") > ball_and_floor + physics.reading("ball_board_contacts")
    floor_elsewhere = physics.reading("floor_contacts") > ball_and_floor
    return (physics.pelvis_height < FALLEN) | ball_elsewhere | floor_elsewhere


def add_fixed_ball(spec: mujoco.MjSpec) -> None:
    """Add a free board on a fixed ball."""
    _add_board(spec)
    _add_ball(spec)


def add_free_ball(spec: mujoco.MjSpec) -> None:
    """Add a free board on a free ball."""
    _add_board(spec)
    _add_ball(spec).add_freejoint(name="ball")


def _add_board(spec: mujoco.MjSpec) -> None:
    board = spec.worldbody.add_body(name="board", pos=(0, 0, BOARD_HEIGHT))
    board.add_freejoint(name="board")
    board.add_geom(
        name="board", type=mujoco.mjtGeom.mjGEOM_BOX, size=BOARD_HALF_SIZES, density=OBJECT_DENSITY, rgba=GREY
    )


def _add_ball(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    ball = spec.worldbody.add_body(name="ball", pos=(0, 0, BALL_RADIUS))
    ball.add_geom(
        name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(BALL_RADIUS, 0, 0), density=OBJECT_DENSITY, rgba=DARK_GREY
    )
    return ball


ON_THE_BOARD: Vector = (-0.1, 0.0, 1.38)
BOARD, BALL = (0.0, 0.0, BOARD_HEIGHT, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, BALL_RADIUS, 1.0, 0.0, 0.0, 0.0)

TASKS = (
    Task(
        "balance_simple", reward=balance, terminated=lost, furnish=add_fixed_ball, sensors=SENSORS,
        pelvis=ON_THE_BOARD, objects=BOARD, success_bar=800, random_return=9.391,
    ),
    Task(
        "balance_hard", reward=balance, terminated=lost, furnish=add_free_ball, sensors=SENSORS,
        pelvis=ON_THE_BOARD, objects=BOARD + BALL, success_bar=800, random_return=9.044,
    ),
)  # fmt: skip
