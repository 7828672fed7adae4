"""The agents: how they act and take gradient steps. Each has a folder; `KINDS` lists them."""

from . import dqn, sac
from .agent import Agent, AgentSettings, Kind, PresetValues, Surroundings
from .dqn import DQN, DQNSettings
from .learning import SavedAgent, TrainedNetwork
from .sac import SAC, SACSettings

KINDS: dict[str, Kind] = {"sac": sac.KIND, "dqn": dqn.KIND}

__all__ = [
    "DQN",
    "KINDS",
    "SAC",
    "Agent",
    "AgentSettings",
    "DQNSettings",
    "Kind",
    "PresetValues",
    "SACSettings",
    "SavedAgent",
    "Surroundings",
    "TrainedNetwork",
]
