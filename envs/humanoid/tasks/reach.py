"""Reach: bring the left hand to a point that is drawn at random for every episode."""

import numpy as np

from ...rendering import Marker
from ..physics import Array, Physics
from ..scene import RED
from ..sensors import PELVIS_Z_AXIS, site_position
from ..task import Parts, Task, TaskState

LOWEST_GOAL, HIGHEST_GOAL = (-2.0, -2.0, 0.2), (2.0, 2.0, 2.0)  # corners of the box of goals, metres
CLOSE, REACHED = np.array(1.0), np.array(0.05)  # metres from the goal
UPRIGHT_BONUS, CLOSE_BONUS, REACHED_BONUS = np.array(5.0), np.array(5.0), np.array(10.0)
MOTION_COST = np.array(1e-4)


def reach(physics: Physics) -> tuple[Array, Parts]:
    """Reward 5 for an upright pelvis, minus a cost of motion, plus 5 near the goal and another 10 at the goal."""
    way = physics.reading("left_hand_position", 3) - physics.memory["goal"]
    distance = np.sqrt(np.add.reduce(way * way, axis=-1))
    parts = {
        "hand_dist": distance,
        "healthy_reward": physics.last_readings[:, physics.address("pelvis_z_axis") + 2] * UPRIGHT_BONUS,
        "motion_penalty": np.add.reduce(physics.qvel * physics.qvel, axis=-1),
        "reward_close": (distance < CLOSE) * CLOSE_BONUS,
        "reward_success": (distance < REACHED) * REACHED_BONUS,
    }
    reward = parts["healthy_reward"] - parts["motion_penalty"] * MOTION_COST
    return reward + parts["reward_close"] + parts["reward_success"], parts


def draw_goal(physics: Physics, row: int, generator: np.random.Generator) -> None:
    """Draw a goal uniformly from the box."""
    physics.memory["goal"][row] = generator.uniform(LOWEST_GOAL, HIGHEST_GOAL)


def with_hand_and_goal(physics: Physics) -> Array:
    """Return positions, velocities, the position of the left hand, and the goal."""
    return np.concatenate((physics.state, physics.reading("left_hand_position", 3), physics.memory["goal"]), axis=1)


def show_goal(physics: Physics) -> tuple[Marker, ...]:
    """Return a red sphere at the goal."""
    x, y, z = physics.memory["goal"][0].tolist()
    return (Marker((x, y, z), radius=0.05, rgba=RED),)


TASKS = (
    Task(
        "reach",
        reward=reach,
        sensors=(site_position("left_hand"), PELVIS_Z_AXIS),
        memory={"goal": TaskState((3,))},
        place=draw_goal,
        observe=with_hand_and_goal,
        markers=show_goal,
        success_bar=12_000,
        random_return=260.302,
    ),
)
