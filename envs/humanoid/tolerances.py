"""Tolerances: functions of arrays that are 1 where a quantity has a wanted value, and fall to 0 away from there.

They follow dm_control's `tolerance` (Tassa et al., 2018, arXiv:1801.00690): they fall as a Gaussian, to 0.1 at the
margin, or linearly.
"""

import math
from collections.abc import Callable

import numpy as np

from .physics import Array

Tolerance = Callable[[Array], Array]

# Constants are arrays without dimensions, because NumPy combines two arrays in half the time that it needs for an array
# and a float.
ZERO, ONE = np.array(0.0), np.array(1.0)
LOG_VALUE_AT_MARGIN = math.log(0.1)


def near_zero(margin: float) -> Tolerance:
    """Return a tolerance that is 1 at zero and 0.1 at the margin on either side."""
    rate = np.array(LOG_VALUE_AT_MARGIN / margin**2)
    return lambda quantity: np.exp(quantity * quantity * rate)


def near_zero_squared(margin: float) -> Tolerance:
    """Return `near_zero` as a function of the quantity's square; a squared distance then needs no square root."""
    rate = np.array(LOG_VALUE_AT_MARGIN / margin**2)
    return lambda square: np.exp(square * rate)


def at_least(bound: float, margin: float) -> Tolerance:
    """Return a tolerance that is 1 from the bound on, and 0.1 at the margin below the bound."""
    wanted, falloff = np.array(bound), near_zero(margin)
    return lambda quantity: falloff(np.maximum(wanted - quantity, ZERO))


def within(low: float, high: float, margin: float) -> Tolerance:
    """Return a tolerance that is 1 between the bounds, and 0.1 at the margin outside of them."""
    lowest, highest, falloff = np.array(low), np.array(high), near_zero(margin)
    return lambda quantity: falloff(quantity - np.minimum(np.maximum(quantity, lowest), highest))


def rising(low: float, high: float, floor: float = 0.0) -> Tolerance:
    """Return a tolerance that is `floor` up to `low`, 1 from `high` on, and linear in between.

    With floor 0 this is dm_control's linear tolerance with the margin high - low.
    """
    rise = (1 - floor) / (high - low)
    slope, offset, lowest = np.array(rise), np.array(floor - low * rise), np.array(floor)
    return lambda quantity: np.minimum(np.maximum(quantity * slope + offset, lowest), ONE)


def peak(margin: float) -> Tolerance:
    """Return a tolerance that is 1 at zero and falls linearly to 0 at the margin on either side."""
    slope = np.array(1 / margin)
    return lambda quantity: np.maximum(ONE - np.abs(quantity) * slope, ZERO)
