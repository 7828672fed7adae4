"""The DeepMind Control suite (Tassa et al. 2018, arXiv:1801.00690) by name, such as `dmc:humanoid-walk`.

The optional package dm_control provides everything: models, rewards, initial states, time limits. An episode of seed s
is the one of `suite.load(domain, task, task_kwargs={"random": s})`.
"""

import difflib
import functools
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from fire_rl.place import install

from .generic import ActionRepeat, SpreadSeeds
from .saved import with_state
from .seeding import seeds_for_each
from .suite_env import SuiteEnv
from .vanished import forget_vanished_fields

PREFIX = "dmc:"
BENCHMARK = {  # the suite's own benchmark; further tasks (quadruped, dog, ...) work too, `task_names` lists all
    "acrobot": "swingup swingup_sparse",
    "ball_in_cup": "catch",
    "cartpole": "balance balance_sparse swingup swingup_sparse",
    "cheetah": "run",
    "finger": "spin turn_easy turn_hard",
    "fish": "upright swim",
    "hopper": "stand hop",
    "humanoid": "stand walk run",
    "manipulator": "bring_ball",
    "pendulum": "swingup",
    "point_mass": "easy",
    "reacher": "easy hard",
    "swimmer": "swimmer6 swimmer15",
    "walker": "stand walk run",
}


def make_suite(name: str, seed: int | None, action_repeat: int, render_mode: str | None) -> gym.Env[Any, Any]:
    """Make one environment of the suite."""
    domain, task = _domain_and_task(name)
    env: gym.Env[Any, Any] = SuiteEnv(_loader(domain, task), seed, render_mode)
    env.spec = EnvSpec(
        f"{PREFIX}{domain}-{task}",
        entry_point=f"{__name__}:make_suite",
        max_episode_steps=env.unwrapped.step_limit,  # type: ignore[attr-defined]
        order_enforce=False,
        disable_env_checker=True,
        kwargs={"name": name, "seed": seed, "action_repeat": 1, "render_mode": render_mode},
    )
    return ActionRepeat(env, action_repeat) if action_repeat > 1 else env


def make_suite_vector(name: str, num_envs: int, seed: int | None, action_repeat: int) -> VectorEnv[Any, Any, Any]:
    """Make several environments of the suite; they are stepped one after the other."""
    seeds = seeds_for_each(seed, num_envs)
    functions = [functools.partial(make_suite, name, one, action_repeat, None) for one in seeds]
    vector = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP)
    vector.spec = vector.envs[0].spec
    return with_state(SpreadSeeds(vector, None))


def benchmark_names() -> list[str]:
    """Return the names of the suite's benchmark, or none if dm_control is not installed.

    The package is not imported, because that takes half a second.
    """
    if find_spec("dm_control") is None:
        return []
    return [f"{PREFIX}{domain}-{task}" for domain, tasks in BENCHMARK.items() for task in tasks.split()]


def task_names() -> list[str]:
    """Return the names of all tasks of the installed suite."""
    return [f"{PREFIX}{domain}-{task}" for domain, task in _suite().ALL_TASKS]


def _domain_and_task(name: str) -> tuple[str, str]:
    known = task_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or [f"{PREFIX}humanoid-walk"]
        raise ValueError(
            f"no task of the Control suite is called {name!r} ({PREFIX}DOMAIN-TASK); "
            f"the nearest names are {', '.join(near)}"
        )
    domain, _, task = name.removeprefix(PREFIX).partition("-")
    return domain, task


@functools.cache
def _loader(domain: str, task: str) -> functools.partial[Any]:
    return functools.partial(_load, domain, task)


def _load(domain: str, task: str) -> Any:
    # The same seed for all environments, because lqr draws its springs when it is made, and all environments of a
    # vector must have the same model.
    with _quiet():
        return _suite().load(domain, task, task_kwargs={"random": 0})


@functools.cache
def _suite() -> Any:
    try:
        with _quiet():
            suite = _import_without_drawing("dm_control.suite")
    except ModuleNotFoundError as error:
        module = (error.name or "dm_control").partition(".")[0]
        raise ValueError(f"{PREFIX} tasks need the module {module!r}, which is missing: {install('dmc')}") from error
    sizes = importlib.import_module("dm_control.mujoco.wrapper.mjbindings.sizes")
    forget_vanished_fields(sizes.array_sizes)
    return suite


def _import_without_drawing(module: str) -> Any:
    """Import a module of dm_control, which loads the library that MUJOCO_GL names. If that library fails there are no
    pictures, but training must work."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise
    except Exception:
        if (wanted := os.environ.get("MUJOCO_GL")) is None:
            raise
        os.environ["MUJOCO_GL"] = "disable"
        try:
            return importlib.import_module(module)
        finally:
            os.environ["MUJOCO_GL"] = wanted


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress GLFW's warning that there is no screen, and the compiler's warnings about the suite's own files."""
    logger = logging.getLogger("absl")
    logger.addFilter(_is_error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
