"""Medians of times some of which are censored, because an event was not observed (Kaplan & Meier, 1958)."""

import math

import numpy as np
from numpy.typing import NDArray

from .resampling import Draws, Places, bounds
from .statistics import AT_ONCE, SINGLE, Array, Interval, in_words


def kaplan_meier_median(times: Array, reached: NDArray[np.bool_], weights: Array | None = None) -> Array:
    """Return the time by which half of the runs have reached the goal; inf if less than half did.

    `times` are the times to the goal, or for runs that did not reach it how long they were observed. `weights` are the
    counts of each run in each resample (resamples x times).
    """
    weights = np.ones((1, len(times))) if weights is None else weights
    moments = np.unique(times[reached])
    events = weights @ (reached[:, None] & (times[:, None] == moments))
    watched = weights @ (times[:, None] >= moments)
    left = np.cumprod(1 - np.divide(events, watched, out=np.zeros_like(events), where=watched > 0), axis=1)
    half = np.append(left <= 0.5 + 1e-9, np.ones((len(weights), 1), dtype=bool), axis=1)  # the last column: inf
    return np.append(moments, np.inf)[half.argmax(axis=1)]


def median_time(
    times: Array, reached: NDArray[np.bool_], draws: Draws, confidence: float = 0.95, runs: Places | None = None
) -> Interval:
    """Return the Kaplan-Meier median with its bootstrap interval, whose bounds may be inf.

    If runs have several times, `runs` are the places of the runs that the times belong to; whole runs are resampled.
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
