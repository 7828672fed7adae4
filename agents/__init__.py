"""How an agent acts and takes gradient steps. A folder for each agent; `KINDS` lists them."""

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
