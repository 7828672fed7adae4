"""The algorithms there are: the one place that tells sessions, checkpoints and policies of them apart."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias, get_type_hints

import msgspec
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from agents import Agent
from agents import dqn as dqn_agent
from agents import sac as sac_agent
from agents.limits import LONGEST_TEXT
from fire import Intervention

from . import dqn, sac
from .build import Parts
from .made_with import Settings

Config: TypeAlias = sac.SACRun | dqn.DQNRun  # every algorithm's settings: `run`, alike for all, `agent`, and its own


@dataclass(frozen=True)
class Algorithm:
    """What a run needs to know of its algorithm."""

    script: str  # the command that trains it
    config: type[Config]
    build: Callable[[Any], Parts]
    build_agent: Callable[[Any, VectorEnv, np.random.SeedSequence, torch.device | str], Agent]
    interventions: Mapping[str, Intervention]  # what the publications do with this agent


ALGORITHMS = {
    "sac": Algorithm("train_sac.py", sac.SACRun, sac.build, sac.build_agent, sac_agent.PUBLISHED_INTERVENTIONS),
    "dqn": Algorithm("train_dqn.py", dqn.DQNRun, dqn.build, dqn.build_agent, dqn_agent.PUBLISHED_INTERVENTIONS),
}


def algorithm_of(config: Config) -> Algorithm:
    return ALGORITHMS[name_of(config)]


def name_of(config: Config) -> str:
    return next(name for name, algorithm in ALGORITHMS.items() if isinstance(config, algorithm.config))


def config_to_json(config: Config) -> dict[str, Any]:
    return {"algorithm": name_of(config), **asdict(config)}


def config_from_json(value: Mapping[str, Any]) -> Config:
    """The settings kept in a run's `config.json`; a ValueError, in one line, where they are of another kind."""
    if value.get("algorithm") not in ALGORITHMS:
        named = str(value.get("algorithm"))[:80]
        raise ValueError(f"algorithm {named!r} in the run's config; known are {', '.join(ALGORITHMS)}")
    kind = ALGORITHMS[value["algorithm"]].config
    groups = {}
    for name, hint in get_type_hints(kind).items():
        given = value.get(name)
        known = {field.name for field in fields(hint)}
        if isinstance(given, dict) and (unknown := sorted(set(given) - known)):
            raise ValueError(f"unknown setting {unknown[0][:80]!r} in the config: was it written by another version?")
        try:
            groups[name] = msgspec.convert(given, hint)
        except msgspec.ValidationError as error:
            raise ValueError(f"{name} of the run's config: {error}") from error
    for text in (text for group in groups.values() for value in vars(group).values() for text in _texts(value)):
        if not text.isprintable() or len(text) > LONGEST_TEXT:
            raise ValueError(f"{text[:80]!r} in the run's config is too long, or cannot be printed")
    return kind(**groups)


def _texts(value: Any) -> list[str]:
    return [text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)]


def settings_of(config: Config) -> Settings:
    """Every setting, by group."""
    return {name: asdict(getattr(config, name)) for name in get_type_hints(type(config))}
