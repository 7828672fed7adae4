"""A run that computes or receives a value that is not finite stops there, and says which value it was."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fire_rl.fire import first_not_finite

DIVERGED = 3  # the exit code of a run that diverged


OF_THE_ENVIRONMENT = ("observation", "reward", "return of an evaluation")  # quantities that the environment gives


class Diverged(Exception):
    """A quantity has become NaN or infinite."""

    def __init__(self, quantity: str, value: float) -> None:
        super().__init__(f"{quantity} is {value}")
        self.quantity, self.value = quantity, str(value)


def require_numbers(quantity: str, values: Any) -> None:
    """Raise Diverged if an array on the host holds anything but finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)  # the type that training uses; None becomes NaN
    if math.isfinite(np.add.reduce(array, axis=None)):
        return
    wrong = array[~np.isfinite(array)]
    if wrong.size:  # may be empty, because the sum of finite numbers can overflow
        raise Diverged(quantity, float(wrong.flat[0]))


def require_finite(metrics: Mapping[str, float]) -> None:
    """Raise Diverged for the first metric that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(name, value)


def require_finite_tensors(tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Raise Diverged if a tensor holds a value that is not finite."""
    if found := first_not_finite(tensors):
        raise Diverged(f"{found[0]} {where}", found[1])
