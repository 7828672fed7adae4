"""How an agent acts and takes gradient steps."""

from .agent import Agent
from .sac import SAC, SACSettings

__all__ = ["SAC", "Agent", "SACSettings"]
