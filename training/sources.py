"""Copy the user's own methods and environments into a run's folder, and check later whether they have changed."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import msgspec

from .config import Config
from .described import Source, read_described
from .durable import write_durably
from .trust import code_named

HERE = Path(__file__).resolve().parents[1]
OURS = tuple(HERE / room for room in ("agents", "data", "envs", "fire", "replay", "training"))
LIBRARIES = ("builtins", "torch", "gymnasium", "numpy", "abc", "typing")


def keep_sources(config: Config, run: Path) -> dict[str, Any]:
    """Copy the user's own modules that the run uses, and return their entries for config.json.

    All these modules are imported already.
    """
    kept = {}
    for module, path in sorted(_files(config)):
        content = path.read_bytes()
        name = f"{module.replace('.', '-')[-200:]}.py"
        (run / "source").mkdir(exist_ok=True)
        write_durably(run / "source" / name, content)
        kept[name] = msgspec.to_builtins(Source(module, hashlib.sha256(content).hexdigest()))
    return kept


def changed_sources(run: Path, modules: Collection[str] | None = None) -> str | None:
    """Describe in one line the first imported source that differs from the run's copy; return None if none differs."""
    for name, source in read_described(run).sources.items():
        if modules is not None and source.module not in modules:
            continue
        path = _path_of(source.module)
        if path is not None and hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
            return (
                f"{path} has changed since {run} was made with it ({run / 'source' / Path(name).name} is a copy of the "
                "earlier one)"
            )
    return None


def refuse_changed_sources(run: Path, config: Config, evaluated: bool = False) -> None:
    """Raise ValueError if the user's own code has changed since the run began; with `evaluated`, the environment's."""
    modules = {module for module, _ in _files(config, ("env",))} if evaluated else None
    if changed := changed_sources(run, modules):
        raise ValueError(f"{changed}: change it back, or begin a new run")


def _path_of(module: str) -> Path | None:
    """Return the file of an imported module, or None."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and path.endswith(".py") and Path(path).is_file() else None


def _files(config: Config, parts: Collection[str] = ("env", "reinit", "regularize")) -> set[tuple[str, Path]]:
    """Return the modules, with their files, that define the user's own methods and environment."""
    named = {part: texts for part, texts in code_named(config).items() if part in parts}
    modules = {base.__module__ for kind in _classes(config, named) for base in inspect.getmro(kind)}
    env = named.get("env", ())
    modules |= {text.partition(":")[0] for text in env}
    paths = {(module, path) for module in modules if (path := _path_of(module))}
    return {
        (module, path)
        for module, path in paths
        if module.partition(".")[0] not in LIBRARIES and not any(path.resolve().is_relative_to(room) for room in OURS)
    }


def _classes(config: Config, named: Mapping[str, Sequence[str]]) -> Iterator[type]:
    methods = config.methods if {"reinit", "regularize"} & named.keys() else None
    if methods and "reinit" in named:
        yield type(methods.method)
    if methods and "regularize" in named:
        yield from map(type, methods.regularizers)
    for text in named.get("env", ()):
        if isinstance(kind := _environment_class(text), type):
            yield kind


def _environment_class(name: str) -> Any:
    """Return the entry point of an environment in Gymnasium's registry, its class or a function; None if not found."""
    try:
        entry = gym.spec(name.partition(":")[2]).entry_point  # the module that registers it is imported already
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        return getattr(importlib.import_module(module), attribute, None)  # was imported when the environment was made
    except (gym.error.Error, ImportError, ValueError):
        return None
