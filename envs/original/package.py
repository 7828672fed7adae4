"""Import a private copy of the original HumanoidBench package, adapt it to current packages, and build its tasks.

Source: github.com/carlosferrazza/humanoid-bench, written for MuJoCo 3.1 and Gymnasium 0.29. Its files are not changed.
"""

import contextlib
import copy
import difflib
import functools
import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import mujoco
from gymnasium.envs.registration import EnvSpec

from ..vanished import forget_vanished_fields

PREFIX = "humanoid_bench:"
PACKAGE = "humanoid_bench"
# An editable clone, because the package that pip builds lacks the scenes; without dependencies, because the package
# requires versions of 2024.
INSTALL = (
    "pip install --no-deps dm_control imageio "
    '--editable "git+https://github.com/carlosferrazza/humanoid-bench#egg=humanoid_bench"'
)
JAX = ("jax", "jax.numpy")  # the package imports them, but uses them only for policies of hierarchical control


@dataclass(frozen=True)
class Package:
    """One copy of the package's modules, and the environments that it registers."""

    modules: dict[str, ModuleType]
    specs: dict[str, EnvSpec]


def original_available() -> bool:
    """Whether the package is installed."""
    return find_spec(PACKAGE) is not None


def spec_of(name: str) -> EnvSpec:
    """Return the registration of a name such as `humanoid_bench:h1-walk-v0`.

    Raise ValueError with the nearest names if there is none.
    """
    package = _package(name)
    bare = name.removeprefix(PREFIX)
    spec = package.specs.get(bare) or package.specs.get(f"{bare}-v0")
    if spec is None:
        playable = [one.id for one in _playable(package)]
        near = difflib.get_close_matches(bare, playable, n=3, cutoff=0.4) or playable[:3]
        raise ValueError(
            f"HumanoidBench has no task {name!r}; the nearest names are {', '.join(PREFIX + one for one in near)}"
        )
    return spec


def build(spec: EnvSpec, model: mujoco.MjModel | None = None) -> Any:
    """Build the original's own environment, without rendering; if a compiled model is given, with a copy of it."""
    package = _package(spec.id, spec.kwargs["robot"])
    if not (scene := _scene(package, spec)).exists():
        robot, task = spec.kwargs["robot"], spec.kwargs["task"]
        others = [one.kwargs["robot"] for one in _playable(package) if one.kwargs["task"] == task]
        raise ValueError(
            f"HumanoidBench has no {task} for {robot} ({scene.name} is not among its scenes); "
            f"it has this task for {', '.join(others) or 'no robot'}"
        )
    module, _, attribute = str(spec.entry_point).partition(":")
    kind = getattr(package.modules[module], attribute)

    def simulation(env: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
        own = mujoco.MjModel.from_xml_path(env.fullpath, _mended(package)) if model is None else copy.copy(model)
        return own, mujoco.MjData(own)

    try:
        return type(kind.__name__, (kind,), {"_initialize_simulation": simulation})(**spec.kwargs, render_mode=None)
    except (ValueError, AssertionError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{PREFIX}{spec.id} cannot be made here: {reason}") from error


def _mended(package: Package) -> dict[str, bytes]:
    """Return corrected files for MuJoCo, by path: MuJoCo 4 allows only one top-level class of defaults, and the file of
    the kitchen's kettle has a second one."""
    kettle = _assets(package) / "kitchen/adept_models/kitchen/assets/kettle_asset.xml"
    if not kettle.exists():
        return {}
    before, opening, rest = kettle.read_bytes().partition(b'<default class="kettle">')
    if not opening:
        return {}
    inside, closing, after = rest.rpartition(b"</default>")
    return {str(kettle): before + b"<default>" + opening + inside + closing + b"</default>" + after}


def _assets(package: Package) -> Path:
    return Path(package.modules[PACKAGE].__path__[0]) / "assets"


def _playable(package: Package) -> list[EnvSpec]:
    return [spec for spec in package.specs.values() if _scene(package, spec).exists()]


def _scene(package: Package, spec: EnvSpec) -> Path:
    """Return where the package looks for a scene. It registers every robot with every task, but has scenes only for
    half of the pairs."""
    settings = spec.kwargs
    name = f"{settings['robot']}_{settings['control']}_{settings['task']}.xml"
    return _assets(package) / "envs" / name


def _package(name: str, robot: str | None = None) -> Package:
    found = find_spec(PACKAGE)
    if found is None:
        raise ValueError(f"{name} needs the package {PACKAGE}, which cannot be imported; install it with: {INSTALL}")
    try:
        package = _import(str(found.origin), robot)
    except Exception as error:  # another package of the same name, or versions that it does not work with
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"{name}: {PACKAGE} cannot be imported ({reason}); install what it needs: {INSTALL}"
        ) from error
    if not _playable(package):
        raise ValueError(f"{name}: the installed {PACKAGE} lacks its scenes; install a clone of it: {INSTALL}")
    return package


@functools.cache
def _import(origin: str, robot: str | None) -> Package:
    """Import a copy of the package for one robot. Each robot has its own copy, because making a G1 changes heights in
    the modules' global variables for all robots."""
    with _out_of_sight() as package:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(PACKAGE)
        package.modules.update({name: module for name, module in sys.modules.items() if _inside(name)})
    for module in package.modules.values():
        vars(module)["print"] = _say_nothing  # the package prints when environments are made, and during episodes
    forget_vanished_fields(package.modules[f"{PACKAGE}.dmc_deps.dmc_sizes"].array_sizes)
    return package


@contextlib.contextmanager
def _out_of_sight() -> Iterator[Package]:
    """Remove all modules imported inside this context, and all names registered with Gymnasium, at its end.

    Otherwise other code could use the package without the adaptations made here.
    """
    absent = [] if find_spec("jax") else JAX
    theirs = {name: module for name, module in sys.modules.items() if _inside(name)}
    registered = dict(gym.registry)
    package = Package({}, {})
    for name in theirs:
        del sys.modules[name]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        yield package
        package.specs.update({name: spec for name, spec in gym.registry.items() if registered.get(name) is not spec})
    finally:
        for name in [name for name in sys.modules if _inside(name) or name in absent]:
            del sys.modules[name]
        sys.modules.update(theirs)
        gym.registry.clear()
        gym.registry.update(registered)


def _inside(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _say_nothing(*words: Any, **settings: Any) -> None:
    """Do nothing; this replaces `print` in the package."""
