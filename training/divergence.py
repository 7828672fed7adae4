"""A run that meets the first value that is not a number stops there, and says which it was."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fire_rl.fire import first_not_finite

DIVERGED = 3  # the exit code of a run that did


OF_THE_ENVIRONMENT = ("observation", "reward", "return of an evaluation")  # quantities that it gives


class Diverged(Exception):
    """A quantity that is not a number any more, or infinite."""

    def __init__(self, quantity: str, value: float) -> None:
        super().__init__(f"{quantity} is {value}")
        self.quantity, self.value = quantity, str(value)


def require_numbers(quantity: str, values: Any) -> None:
    """Raise Diverged where an array of the host's holds anything but finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)  # as it is learned from; None becomes NaN
    if math.isfinite(np.add.reduce(array, axis=None)):
        return
    wrong = array[~np.isfinite(array)]
    if wrong.size:  # finite numbers may have too large a sum
        raise Diverged(quantity, float(wrong.flat[0]))


def require_finite(metrics: Mapping[str, float]) -> None:
    """Raise Diverged for the first metric that is not a number."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(name, value)


def require_finite_tensors(tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Raise Diverged where a tensor holds a value that is not finite."""
    if found := first_not_finite(tensors):
        raise Diverged(f"{found[0]} {where}", found[1])
