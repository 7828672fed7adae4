"""Restore random generators across devices."""

from fire_rl.fire.streams import restore_generator

__all__ = ["restore_generator"]
