"""Checks of a saved state before it is restored: it may come from anywhere, and be damaged or made up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

State = dict[str, NDArray[Any]]

MOST = 2**53  # of counters; those of real runs are far below, and one step more still fits into its array


def require_names(given: Collection[str], present: Collection[str]) -> None:
    """Refuses a state with a part too few or too many."""
    if wrong := sorted(set(given) ^ set(present)):
        problem = f"{wrong[0]} is missing" if wrong[0] in present else f"{ascii(wrong[0][:80])[1:-1]} is no part"
        raise ValueError(f"a state holds {', '.join(present)}; {problem}")


def checked_state(given: Mapping[str, ArrayLike], present: State) -> State:
    """The given state as arrays like those of the present one."""
    require_names(given, present)
    return {name: like(name, given[name], values) for name, values in present.items()}


def like(name: str, value: ArrayLike, present: NDArray[Any]) -> NDArray[Any]:
    """A part of a state as an array of the present one's shape and type; refused where that would change a number."""
    given, wanted = np.asarray(value), present.dtype
    if given.shape != present.shape:
        raise ValueError(f"{name} has shape {given.shape}, {present.shape} is needed: is it of another task's state?")
    if given.dtype.kind != wanted.kind and not (given.dtype.kind in "biuf" and wanted.kind in "biuf"):
        raise ValueError(f"{name} holds {given.dtype}, {wanted} is needed")
    if wanted.kind in "biu" and given.size:
        if given.dtype.kind == "f" and not (np.isfinite(given).all() and np.array_equal(given, np.floor(given))):
            raise ValueError(f"{name} holds a number that is not whole")
        low, high = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
        if not low <= int(given.min()) <= int(given.max()) <= high:
            raise ValueError(f"{name} holds a number that {wanted} does not")
    return given.astype(wanted)


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Refuses NaN and infinity."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds a number that is not finite")


def require_count(name: str, values: NDArray[Any], highest: int = MOST) -> None:
    """Refuses anything but whole numbers from 0 to `highest`."""
    wrong = values[~((values >= 0) & (values <= highest) & (values == np.floor(values)))]
    if wrong.size:
        raise ValueError(f"{name} holds {wrong.flat[0]}; allowed are whole numbers from 0 to {highest:,}")
