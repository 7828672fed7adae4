"""One run, whatever the agent: settings, loop, evaluation, log, checkpoints."""

from .policy import Policy, load_policy

__all__ = ["Policy", "load_policy"]
