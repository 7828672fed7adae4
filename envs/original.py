"""The original HumanoidBench package, where it is importable, to compare with it and to record figures of it.

github.com/carlosferrazza/humanoid-bench. It was written for MuJoCo 3.1 and imports JAX for wrappers that no locomotion
task uses; both gaps are bridged while importing, without touching its files.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import gymnasium as gym
import mujoco

REPOSITORY = "github.com/carlosferrazza/humanoid-bench"


def original_available() -> bool:
    """Whether the package can be found."""
    return find_spec("humanoid_bench") is not None


def make_original(task: str) -> Any:
    """The original's own environment of an H1 task (a `MujocoEnv`), without time limit and checks around it."""
    if not original_available():
        raise ValueError(
            f"humanoid_bench is not importable; clone {REPOSITORY}, add the clone to PYTHONPATH and "
            "run `pip install dm_control imageio`"
        )
    _import_without_jax()
    _forget_vanished_fields()
    return gym.make(f"h1-{task}-v0", render_mode=None).unwrapped


def _import_without_jax() -> None:
    absent = [] if find_spec("jax") else ["jax", "jax.numpy"]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        importlib.import_module("humanoid_bench")
    finally:
        for name in absent:
            del sys.modules[name]


def _forget_vanished_fields() -> None:
    """Its table of MuJoCo's array fields names some that later versions no longer have, and reads them all."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    tables = importlib.import_module("humanoid_bench.dmc_deps.dmc_sizes").array_sizes
    for table, owner in (("mjmodel", model), ("mjdata", mujoco.MjData(model))):
        for field in [field for field in tables[table] if not hasattr(owner, field)]:
            del tables[table][field]
