"""Times that may never come: medians of what was watched until it came, or only so long (Kaplan & Meier, 1958)."""

import math

import numpy as np
from numpy.typing import NDArray

from .resampling import Draws, bounds
from .statistics import AT_ONCE, SINGLE, Array, Interval, in_words


def kaplan_meier_median(times: Array, reached: NDArray[np.bool_], weights: Array | None = None) -> Array:
    """The time by which half have reached it; inf where less than half did.

    `times` are those of what reached it, and of the others how long they were watched. `weights` counts each in each
    resample (resamples x times).
    """
    weights = np.ones((1, len(times))) if weights is None else weights
    moments = np.unique(times[reached])
    events = weights @ (reached[:, None] & (times[:, None] == moments))
    watched = weights @ (times[:, None] >= moments)
    left = np.cumprod(1 - np.divide(events, watched, out=np.zeros_like(events), where=watched > 0), axis=1)
    half = np.append(left <= 0.5 + 1e-9, np.ones((len(weights), 1), dtype=bool), axis=1)  # in the end, never
    return np.append(moments, np.inf)[half.argmax(axis=1)]


def median_time(
    times: Array,
    reached: NDArray[np.bool_],
    draws: Draws,
    confidence: float = 0.95,
    runs: NDArray[np.int64] | None = None,
) -> Interval:
    """Kaplan and Meier's median with its bootstrap interval; bounds are resamples' own medians, as inf is allowed.

    `runs` are the places of the runs that the times are of, where a run has several; whole runs are resampled.
    """
    runs = np.arange(len(times)) if runs is None else runs
    value, n = float(kaplan_meier_median(times, reached)[0]), len(np.unique(runs))
    if n < 2:
        return Interval(value, math.nan, math.nan, sides=((n,),), method=SINGLE)
    taken = draws.counts(0)[:, runs]
    size = max(1, AT_ONCE // len(times))
    parts = [kaplan_meier_median(times, reached, taken[first : first + size]) for first in range(0, len(taken), size)]
    low, high = bounds(np.concatenate(parts), draws.weights, confidence)
    words = f"Kaplan-Meier median, {in_words(confidence, draws, ((n,),))}"
    return Interval(value, float(low), float(high), sides=((n,),), method=words)
