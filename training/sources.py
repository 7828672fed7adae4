"""Copies of the user's own methods and environments in a run's folder, and whether they are still what they were."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import msgspec
from msgspec import Meta

from .config import Config
from .durable import write_durably
from .files import read_json
from .trust import code_named

HERE = Path(__file__).resolve().parents[1]
OURS = tuple(HERE / room for room in ("agents", "data", "envs", "fire", "replay", "training"))
LIBRARIES = ("builtins", "torch", "gymnasium", "numpy", "abc", "typing")


class Source(msgspec.Struct, frozen=True):
    """A file of code: the module that it is, and its checksum."""

    module: Annotated[str, Meta(max_length=1000)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Sources(msgspec.Struct, frozen=True):
    """What `config.json` has of them, by the name of the copy in RUN/source."""

    sources: dict[str, Source] = {}


def keep_sources(config: Config, run: Path) -> dict[str, Any]:
    """Copy what the run uses of the user's own; what its config.json says of it. All of it is imported already."""
    kept = {}
    for module, path in sorted(_files(config)):
        content = path.read_bytes()
        name = f"{module.replace('.', '-')[-200:]}.py"
        (run / "source").mkdir(exist_ok=True)
        write_durably(run / "source" / name, content)
        kept[name] = msgspec.to_builtins(Source(module, hashlib.sha256(content).hexdigest()))
    return kept


def changed_sources(run: Path, modules: Collection[str] | None = None) -> str | None:
    """One line on the first source that is not what the run was made with; looks at what is imported already."""
    for name, source in read_json(run / "config.json", Sources).sources.items():
        if modules is not None and source.module not in modules:
            continue
        path = _path_of(source.module)
        if path is not None and hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
            return (
                f"{path} has changed since {run} was made with it ({run / 'source' / Path(name).name} is what it was)"
            )
    return None


def refuse_changed_sources(run: Path, config: Config, evaluated: bool = False) -> None:
    """A run goes on with the code that it began with, or not at all; to be evaluated it needs its environment alone."""
    modules = {module for module, _ in _files(config, ("env",))} if evaluated else None
    if changed := changed_sources(run, modules):
        raise ValueError(f"{changed}: put it back, or begin a new run")


def _path_of(module: str) -> Path | None:
    """The file that an imported module was read from."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and path.endswith(".py") and Path(path).is_file() else None


def _files(config: Config, parts: Collection[str] = ("env", "reinit", "regularize")) -> set[tuple[str, Path]]:
    """Modules, with their files, that define the methods and the environment that are the user's own."""
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
    """What the environment is an instance of, by its entry in Gymnasium's registry; None where a function makes it."""
    try:
        entry = gym.spec(name.partition(":")[2]).entry_point  # the module that registers it is imported
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        return getattr(importlib.import_module(module), attribute, None)  # imported already, when it was made
    except (gym.error.Error, ImportError, ValueError):
        return None
