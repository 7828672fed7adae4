"""Where else a run is recorded: the logger interface, TensorBoard, and trackers in processes of their own."""

from .fire_rl_trackers import Tracker

__all__ = ["Tracker"]
