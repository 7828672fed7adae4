"""The spaces and the metadata of the single and the vector environment."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from .physics import Array, Physics
from .scene import PHYSICS_STEPS, PHYSICS_TIMESTEP
from .simulation import Simulation

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / (PHYSICS_STEPS * PHYSICS_TIMESTEP))}


def metadata(action_repeat: int) -> dict[str, Any]:
    """Return the metadata, with the frame rate of real time for one picture after each decision."""
    return METADATA | {"render_fps": METADATA["render_fps"] / action_repeat}


def observation_space(simulation: Simulation) -> Space[Array]:
    """Return the space of the task's observations: without bounds, in float64 as in the original."""
    return Box(-np.inf, np.inf, shape=simulation.observations().shape[1:], dtype=np.float64)


def action_space(physics: Physics) -> Space[NDArray[np.float32]]:
    """Return the space of actions: one number per motor, from -1 to 1 for the whole range of its joint."""
    return Box(-1, 1, shape=(physics.model.nu,), dtype=np.float32)
