"""Aggregates of runs and how far they can be trusted, as pure functions over arrays (Agarwal et al., 2021).

A method's scores are *strata*: one array for each environment, its runs along the last axis, anything (points of a
curve, thresholds of a profile) along the ones before. Every bootstrap resamples runs within each environment.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A number and how far it can be trusted."""

    value: float
    low: float  # NaN where there is no interval; may be inf where value may
    high: float
    n: int  # runs
    method: str  # how the bounds were made, in words

    @property
    def bounded(self) -> bool:
        """Whether there is an interval at all: not of a single run."""
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True, eq=False)
class Band:
    """An interval at each point of an axis."""

    value: Array
    low: Array  # NaN where there is no interval
    high: Array
    n: int
    method: str

    @property
    def bounded(self) -> bool:
        return not bool(np.isnan(self.low).any() or np.isnan(self.high).any())
