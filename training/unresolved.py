"""From a run's resolved settings back to those that were given, and the shortest command line that repeats the run."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .config import Config
from .learners import LEARNERS, name_of
from .settings import flag, names_with

LAST = ("seed",)  # a command always gives it, as its last flag
METHODS = ("reinit", "regularize")  # never derived from other settings, and parsed only once


def unresolved(config: Config) -> Config:
    """Return the settings without values that are derived from others: a schedule, an exploration, a length."""
    usual = type(config)().by_name()  # type: ignore[call-arg]  # all groups of a learner's config have defaults
    for names in (names_with(config.run, "schedule", "timing"), *((name,) for name in usual)):
        shorter = config.altered(**{name: usual[name] for name in names if name not in METHODS})
        if shorter != config and _comes_to(shorter, config):
            config = shorter
    return config


def _comes_to(asked: Config, config: Config) -> bool:
    with suppress(ValueError):
        return asked.resolved() == config.resolved()
    return False


def shortest_words(config: Config) -> list[str]:
    """Return the fewest flags that give these settings, on top of the nearest preset; the seed is always given."""
    asked = unresolved(config)
    found = []
    for index, (name, preset) in enumerate(LEARNERS[name_of(config)].presets.items()):
        words = ["--preset", name] if index else []
        found.append([*words, *_words(_differing(asked, preset.config))])
    return min(found, key=len)


def _differing(asked: Config, preset: Config) -> dict[str, Any]:
    """Return the settings that have to be given besides the preset, without those that are derived from others."""
    usual, values = preset.by_name(), asked.by_name()
    said = {name: value for name, value in values.items() if value != usual[name]}
    for name in [name for name in said if name not in (*METHODS, *LAST)]:
        shorter = asked.altered(**{name: usual[name]})
        if _comes_to(shorter, asked):
            asked = shorter
            del said[name]
    return {name: value for name, value in said.items() if name not in LAST} | {name: values[name] for name in LAST}


def _words(values: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in values.items():
        words += [flag(name), *(map(str, value) if isinstance(value, list | tuple) else (str(value),))]
    return words


def words_again(
    config: Config, branch: str | None = None, given: Mapping[str, Any] | None = None, trust: Path | None = None
) -> list[str]:
    """Return the words of the command that repeats a run; that of a branch needs its trunk, where it begins."""
    words = shortest_words(config) if branch is None else ["--branch-from", branch]
    if branch is not None:
        words += _words({**(given or {}), "threads": config.run.threads})
        words += [] if trust is None else ["--trust", str(trust)]
    return words
