"""Tolerances: functions that are 1 where a quantity is as wanted and fall off to 0 with its distance from there.

After dm_control's `tolerance` (Tassa et al., 2018, arXiv:1801.00690). A falloff says how: a Gaussian reaches 0.1 at the
margin, `linear` and `quadratic` reach 0 there. `at_least(1.65, gaussian(margin=0.4))` is a function of arrays.
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


def gaussian(margin: float) -> Tolerance:
    """1 at zero, 0.1 at the margin."""
    rate = np.array(LOG_VALUE_AT_MARGIN / margin**2)
    return lambda distance: np.exp(distance * distance * rate)


def linear(margin: float) -> Tolerance:
    """1 at zero, 0 from the margin on; of distances, not of signed values."""
    slope = np.array(1 / margin)
    return lambda distance: np.maximum(ONE - distance * slope, ZERO)


def quadratic(margin: float) -> Tolerance:
    """1 at zero, 0 from the margin on."""
    rate = np.array(1 / margin**2)
    return lambda distance: np.maximum(ONE - distance * distance * rate, ZERO)


def at_least(bound: float, falloff: Tolerance) -> Tolerance:
    """1 where the quantity reaches the bound."""
    wanted = np.array(bound)
    return lambda quantity: falloff(np.maximum(wanted - quantity, ZERO))


def within(low: float, high: float, falloff: Tolerance) -> Tolerance:
    """1 between the bounds."""
    lowest, highest = np.array(low), np.array(high)
    return lambda quantity: falloff(np.maximum(np.maximum(lowest - quantity, quantity - highest), ZERO))
