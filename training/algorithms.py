"""The algorithms there are: the one place that tells sessions, checkpoints and policies of them apart."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, get_type_hints

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from agents import Agent

from . import sac
from .build import Parts
from .settings import RunSettings, from_json

Config: TypeAlias = sac.SACRun  # every algorithm's settings: `run`, alike for all, and `agent`


@dataclass(frozen=True)
class Algorithm:
    """What a run needs to know of its algorithm."""

    script: str  # the command that trains it
    config: type[Config]
    build: Callable[[Config], Parts]
    build_agent: Callable[[Config, VectorEnv, np.random.SeedSequence, torch.device | str], Agent]


ALGORITHMS = {"sac": Algorithm("train_sac.py", sac.SACRun, sac.build, sac.build_agent)}


def algorithm_of(config: Config) -> Algorithm:
    return ALGORITHMS[name_of(config)]


def name_of(config: Config) -> str:
    return next(name for name, algorithm in ALGORITHMS.items() if isinstance(config, algorithm.config))


def config_to_json(config: Config) -> dict[str, Any]:
    return {"algorithm": name_of(config), "run": asdict(config.run), "agent": asdict(config.agent)}


def config_from_json(value: Mapping[str, Any]) -> Config:
    """The settings kept in a run's `config.json`."""
    if value["algorithm"] not in ALGORITHMS:
        raise ValueError(f"algorithm {value['algorithm']!r} in the run's config; known are {', '.join(ALGORITHMS)}")
    kind = ALGORITHMS[value["algorithm"]].config
    return kind(from_json(RunSettings, value["run"]), from_json(get_type_hints(kind)["agent"], value["agent"]))
