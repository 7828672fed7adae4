"""Balance: stand on a board that lies on a ball, without moving."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..physics import Array, Physics
from ..rewards import small_control, still
from ..robot import Vector
from ..scene import GREY, OBJECT_DENSITY
from ..sensors import contacts
from ..task import Parts, Task
from ..tolerances import at_least, rising

BOARD_HALF_SIZES: Vector = (0.15, 0.55, 0.03)  # metres
BOARD_HEIGHT = 0.37
BALL_RADIUS = 0.17
STAND_HEIGHT = 1.65  # of the head above the board's centre, metres
FALLEN = np.array(0.8)  # height of the pelvis below which the episode ends

SENSORS = (
    contacts("ball_contacts", "ball"),
    contacts("ball_floor_contacts", "ball", "floor"),
    contacts("ball_board_contacts", "ball", "board"),
    contacts("floor_contacts", "floor"),
)

tall = at_least(STAND_HEIGHT + BOARD_HEIGHT, margin=STAND_HEIGHT / 4)
straight = rising(-1.0, 0.9)  # the torso's axis, as a cosine with the vertical


def balance(physics: Physics) -> tuple[Array, Parts]:
    """Little effort, tall and upright on the board, not moving."""
    standing, upright = tall(physics.head_height), straight(physics.torso_upright)
    parts = {
        "small_control": small_control(physics),
        "stand_reward": standing * upright,
        "standing": standing,
        "upright": upright,
        "dont_move": still(physics),
    }
    return parts["small_control"] * parts["stand_reward"] * parts["dont_move"], parts


def lost(physics: Physics) -> NDArray[np.bool_]:
    """Fallen; or the ball touches more than floor and board; or the floor touches more than the ball."""
    ball_and_floor = physics.reading("ball_floor_contacts")
    ball_elsewhere = physics.reading("ball_contacts") > ball_and_floor + physics.reading("ball_board_contacts")
    floor_elsewhere = physics.reading("floor_contacts") > ball_and_floor
    return (physics.pelvis_height < FALLEN) | ball_elsewhere | floor_elsewhere


def add_fixed_board(spec: mujoco.MjSpec) -> None:
    """A free board on a ball that stays where it is."""
    _add_board(spec)
    _add_ball(spec.worldbody.add_body(name="ball", pos=(0, 0, BALL_RADIUS)))


def _add_board(spec: mujoco.MjSpec) -> None:
    board = spec.worldbody.add_body(name="board", pos=(0, 0, BOARD_HEIGHT))
    board.add_freejoint(name="board")
    board.add_geom(
        name="board", type=mujoco.mjtGeom.mjGEOM_BOX, size=BOARD_HALF_SIZES, density=OBJECT_DENSITY, rgba=GREY
    )


def _add_ball(ball: mujoco.MjsBody) -> None:
    ball.add_geom(
        name="ball",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(BALL_RADIUS, 0, 0),
        density=OBJECT_DENSITY,
        rgba=(0.3, 0.3, 0.3, 1),
    )


TASKS = (
    Task(
        "balance_simple",
        reward=balance,
        terminated=lost,
        furnish=add_fixed_board,
        sensors=SENSORS,
        pelvis=(-0.1, 0.0, 1.38),
        objects=(0.0, 0.0, BOARD_HEIGHT, 1.0, 0.0, 0.0, 0.0),
        success_bar=800,
    ),
)
