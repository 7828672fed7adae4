"""Observation and action spaces as plain values, so that a policy can be used without its environment.

Bounds are stored as one number if they are the same everywhere, and as null where there is no bound.
"""

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from gymnasium import Space, spaces
from msgspec import Meta
from numpy.typing import NDArray

Size = Annotated[int, Meta(ge=1, le=2**31)]
MOST_NUMBERS = 20_000_000  # the largest observation that a file may declare
Bounds = float | None | Annotated[tuple[float | None, ...], Meta(max_length=1_000_000)]


class KeptBox(msgspec.Struct, frozen=True, tag="box"):
    """Arrays of numbers."""

    shape: Annotated[tuple[Size, ...], Meta(max_length=4)]
    dtype: Literal["float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]
    low: Bounds
    high: Bounds

    def space(self) -> spaces.Box:
        """Return the Gymnasium space; raise ValueError if the bounds do not fit the shape."""
        if math.prod(self.shape) > MOST_NUMBERS:
            raise ValueError(f"a space of shape {self.shape} has more than {MOST_NUMBERS:,} numbers")
        low, high = _array(self.low, -math.inf, self.shape), _array(self.high, math.inf, self.shape)
        if not (low <= high).all():
            raise ValueError("the lower bounds of a space are not below its upper bounds")
        if np.dtype(self.dtype).kind != "f" and not (np.isfinite(low) & np.isfinite(high)).all():
            raise ValueError(f"a space of {self.dtype} numbers has no bounds")
        return spaces.Box(low.astype(self.dtype), high.astype(self.dtype), self.shape, np.dtype(self.dtype).type)


class KeptDiscrete(msgspec.Struct, frozen=True, tag="discrete"):
    """`n` integers, counted from `start` on."""

    n: Size
    start: Annotated[int, Meta(ge=-(2**31), le=2**31)] = 0

    def space(self) -> spaces.Discrete:
        """Return the Gymnasium space."""
        return spaces.Discrete(self.n, start=self.start)


class KeptSpaces(msgspec.Struct, frozen=True):
    """The spaces of a policy's input and output, and the environment's time limit in steps."""

    observation: KeptBox
    action: KeptBox | KeptDiscrete
    episode_steps: Annotated[int, Meta(ge=1, le=2**53)] | None = None


def kept_spaces(observation: Space[Any], action: Space[Any], episode_steps: int | None) -> KeptSpaces | None:
    """Return the spaces of one environment as plain values; None if they are of kinds that are not supported."""
    if not isinstance(observation, spaces.Box) or not isinstance(action, spaces.Box | spaces.Discrete):
        return None
    kept = _box(action) if isinstance(action, spaces.Box) else _discrete(action)
    given = {"observation": _box(observation), "action": kept, "episode_steps": episode_steps}
    try:
        return msgspec.convert(given, KeptSpaces)
    except msgspec.ValidationError:
        return None


def _box(space: spaces.Box) -> dict[str, Any]:
    bounds = {"low": _bounds(space.low), "high": _bounds(space.high)}
    return {"type": "box", "shape": tuple(map(int, space.shape)), "dtype": str(space.dtype), **bounds}


def _discrete(space: spaces.Discrete) -> dict[str, Any]:
    return {"type": "discrete", "n": int(space.n), "start": int(space.start)}


def _bounds(values: NDArray[Any]) -> float | tuple[float | None, ...] | None:
    numbers = tuple(float(value) if math.isfinite(value) else None for value in values.ravel().tolist())
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _array(bounds: Bounds, missing: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not isinstance(bounds, tuple):
        return np.full(shape, missing if bounds is None else bounds, np.float64)
    if len(bounds) != math.prod(shape):
        raise ValueError(f"{len(bounds)} bounds are given for a space of shape {shape}")
    return np.array([missing if bound is None else bound for bound in bounds], np.float64).reshape(shape)
