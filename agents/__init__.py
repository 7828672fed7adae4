"""How an agent acts and takes gradient steps."""

from .agent import Agent
from .sac import SAC
from .sac_settings import SACSettings

__all__ = ["SAC", "Agent", "SACSettings"]
