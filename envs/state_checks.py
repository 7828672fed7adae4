"""Check a saved state before it is restored: its file may be damaged or forged."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

State = dict[str, NDArray[Any]]

MOST = 2**53  # the largest allowed counter: far above those of real runs, and one step more still fits into an int64


def require_names(given: Collection[str], present: Collection[str]) -> None:
    """Raise ValueError if a part of the state is missing or unknown."""
    if wrong := sorted(set(given) ^ set(present)):
        problem = f"{wrong[0]} is missing" if wrong[0] in present else f"{ascii(wrong[0][:80])[1:-1]} is not part of it"
        raise ValueError(f"a state holds {', '.join(present)}; {problem}")


def checked_state(given: Mapping[str, ArrayLike], present: State) -> State:
    """Return the given state as arrays with the shapes and types of the present one; raise ValueError if it differs."""
    require_names(given, present)
    return {name: like(name, given[name], values) for name, values in present.items()}


def like(name: str, value: ArrayLike, present: NDArray[Any]) -> NDArray[Any]:
    """Return a part of a state as an array of the present one's shape and type.

    Raise ValueError if the shape is another, or if the conversion would change a number.
    """
    given, wanted = np.asarray(value), present.dtype
    if given.shape != present.shape:
        raise ValueError(f"{name} has shape {given.shape}, {present.shape} is needed: is the state of another task?")
    if given.dtype.kind != wanted.kind and not (given.dtype.kind in "biuf" and wanted.kind in "biuf"):
        raise ValueError(f"{name} holds {given.dtype}, {wanted} is needed")
    if wanted.kind in "biu" and given.size:
        if given.dtype.kind == "f" and not (np.isfinite(given).all() and np.array_equal(given, np.floor(given))):
            raise ValueError(f"{name} holds a number that is not an integer")
        low, high = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
        if not low <= int(given.min()) <= int(given.max()) <= high:
            raise ValueError(f"{name} holds a number that does not fit into {wanted}")
    return given.astype(wanted)


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Raise ValueError if there is NaN or infinity."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds a number that is not finite")


def require_count(name: str, values: NDArray[Any], highest: int = MOST) -> None:
    """Raise ValueError unless all values are integers from 0 to `highest`."""
    wrong = values[~((values >= 0) & (values <= highest) & (values == np.floor(values)))]
    if wrong.size:
        raise ValueError(f"{name} holds {wrong.flat[0]}; allowed are whole numbers from 0 to {highest:,}")
