"""Tolerances: functions of arrays, 1 where a quantity is as wanted, falling to 0 with its distance from there.

After dm_control's `tolerance` (Tassa et al., 2018, arXiv:1801.00690): as a Gaussian, 0.1 at the margin, or linearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .physics import Array

Tolerance = Callable[[Array], Array]

# Constants are arrays without dimensions: NumPy takes half as long over two arrays as over an array and a float.
ZERO, ONE = np.array(0.0), np.array(1.0)
LOG_VALUE_AT_MARGIN = math.log(0.1)


def near_zero(margin: float) -> Tolerance:
    """1 at zero, 0.1 at the margin on either side."""
    rate = np.array(LOG_VALUE_AT_MARGIN / margin**2)
    return lambda quantity: np.exp(quantity * quantity * rate)


def near_zero_squared(margin: float) -> Tolerance:
    """`near_zero` of a quantity whose square is known, such as a distance."""
    rate = np.array(LOG_VALUE_AT_MARGIN / margin**2)
    return lambda square: np.exp(square * rate)


def at_least(bound: float, margin: float) -> Tolerance:
    """1 from the bound on, 0.1 at the margin below it."""
    wanted, falloff = np.array(bound), near_zero(margin)
    return lambda quantity: falloff(np.maximum(wanted - quantity, ZERO))


def within(low: float, high: float, margin: float) -> Tolerance:
    """1 between the bounds, 0.1 at the margin outside of them."""
    lowest, highest, falloff = np.array(low), np.array(high), near_zero(margin)
    return lambda quantity: falloff(quantity - np.minimum(np.maximum(quantity, lowest), highest))


def rising(low: float, high: float, floor: float = 0.0) -> Tolerance:
    """`floor` up to `low`, 1 from `high` on, linear between: dm_control's linear tolerance of margin high - low."""
    rise = (1 - floor) / (high - low)
    slope, offset, lowest = np.array(rise), np.array(floor - low * rise), np.array(floor)
    return lambda quantity: np.minimum(np.maximum(quantity * slope + offset, lowest), ONE)


def peak(margin: float) -> Tolerance:
    """1 at zero alone, falling linearly to 0 at the margin on either side."""
    slope = np.array(1 / margin)
    return lambda quantity: np.maximum(ONE - np.abs(quantity) * slope, ZERO)
