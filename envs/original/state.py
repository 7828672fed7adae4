"""The state of an original task as plain arrays: its attributes, and the fields that it writes into the model."""

import json
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

PARTS = ("_env", "robot", "unwrapped")  # attributes that refer to other objects and are not part of the state
WRITTEN = ("body_pos", "body_quat", "geom_rgba")  # the model's fields that tasks write: goals, targets, colours


def remembered(task: Any) -> NDArray[np.uint8]:
    """Return all attributes of a task (stages, goals, counters, lists of packages) as bytes of JSON."""
    attributes = {name: _encoded(name, value) for name, value in vars(task).items() if name not in PARTS}
    return np.frombuffer(json.dumps(attributes).encode(), dtype=np.uint8).copy()


def remember(task: Any, memory: NDArray[np.uint8]) -> None:
    """Give a task exactly the attributes that `remembered` returned."""
    try:
        attributes = {name: _decoded(value) for name, value in json.loads(memory.tobytes()).items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"task does not hold the attributes of a task ({type(error).__name__})") from error
    if wrong := set(PARTS) & attributes.keys():
        raise ValueError(f"task holds {min(wrong)!r}, which belongs to its environment")
    for name in vars(task).keys() - attributes.keys() - set(PARTS):
        delattr(task, name)
    vars(task).update(attributes)


def written(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the model's fields that tasks write, one after the other."""
    return np.concatenate([getattr(model, field).ravel() for field in WRITTEN], dtype=np.float64)


def write(model: mujoco.MjModel, values: NDArray[np.float64]) -> None:
    """Write the values that `written` returned back into the model."""
    for field in WRITTEN:
        present = getattr(model, field)
        present[:], values = values[: present.size].reshape(present.shape), values[present.size :]


def _encoded(name: str, value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {"kind": kind, "type": value.dtype.str, "shape": value.shape, "values": value.ravel().tolist()}
    if type(value) in (list, tuple):
        return {"kind": type(value).__name__, "values": [_encoded(name, one) for one in value]}
    if type(value) is dict:
        return {"kind": "dict", "values": [[_encoded(name, part) for part in item] for item in value.items()]}
    raise TypeError(f"the task's attribute {name!r} is a {type(value).__name__}, which cannot be saved")


def _decoded(value: Any) -> Any:
    if type(value) is not dict:
        return value
    kind, values = value["kind"], value["values"]
    if kind in ("array", "number") and np.dtype(value["type"]).kind in "biuf":
        array = np.array(values, dtype=value["type"]).reshape(value["shape"])
        return array if kind == "array" else array[()]
    decoded = [tuple(map(_decoded, one)) if kind == "dict" else _decoded(one) for one in values]
    return {"list": list, "tuple": tuple, "dict": dict}[kind](decoded)
