"""Rewards in [0, 1] made of tolerances, and the ones most H1 tasks share.

A tolerance is 1 inside its bounds and falls off outside with distance / margin: as a Gaussian to 0.1 at the margin, or
linearly or quadratically to 0 (dm_control's `tolerance`, Tassa et al., 2018, arXiv:1801.00690).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .physics import Physics

Array = NDArray[np.float64]
Falloff = Callable[[Array], Array]

VALUE_AT_MARGIN = 0.1
LOG_VALUE_AT_MARGIN = float(np.log(VALUE_AT_MARGIN))


def gaussian(distance: Array) -> Array:
    """1 at distance 0, 0.1 at distance 1."""
    return np.exp(distance * distance * LOG_VALUE_AT_MARGIN)


def linear(distance: Array) -> Array:
    """1 at distance 0, 0 from distance 1 on."""
    return np.maximum(1.0 - distance, 0.0)


def quadratic(distance: Array) -> Array:
    """1 at distance 0, 0 from distance 1 on."""
    return np.maximum(1.0 - distance * distance, 0.0)


def at_least(value: Array, bound: float, margin: float, falloff: Falloff = gaussian) -> Array:
    """1 where the value reaches the bound."""
    return falloff(np.maximum(bound - value, 0.0) / margin)


def within(value: Array, low: float, high: float, margin: float, falloff: Falloff = gaussian) -> Array:
    """1 between the bounds."""
    return falloff(np.maximum(np.maximum(low - value, value - high), 0.0) / margin)


def near_zero(value: Array, margin: float, falloff: Falloff = gaussian) -> Array:
    """1 only at zero."""
    return falloff(value / margin)


def small_control(physics: Physics) -> Array:
    """From 0.8 to 1: how many motors are at rest; none counts from 10 N m on."""
    at_rest = near_zero(physics.actuator_forces, margin=10, falloff=quadratic)
    return (4 + at_rest.sum(axis=-1) / at_rest.shape[-1]) / 5


def tall(physics: Physics, height: float, margin: float) -> Array:
    """The head is up."""
    return at_least(physics.head_height, height, margin)


def upright(physics: Physics, cosine: float) -> Array:
    """The torso points up."""
    return at_least(physics.torso_upright, cosine, margin=1.9, falloff=linear)


def moving(physics: Physics, speed: float) -> Array:
    """From 1/6 at rest to 1 at the wanted speed along x."""
    return (5 * at_least(physics.center_of_mass_velocity[:, 0], speed, margin=speed, falloff=linear) + 1) / 6


def still(physics: Physics) -> Array:
    """The centre of mass does not move along x and y."""
    calm = near_zero(physics.center_of_mass_velocity[:, :2], margin=2)
    return (calm[:, 0] + calm[:, 1]) / 2
