"""How an agent acts and takes gradient steps."""

from .agent import Agent
from .dqn import DQN
from .dqn_settings import DQNSettings
from .sac import SAC
from .sac_settings import SACSettings

__all__ = ["DQN", "SAC", "Agent", "DQNSettings", "SACSettings"]
