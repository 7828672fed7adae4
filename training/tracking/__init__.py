"""Other records of a run: the logger interface, TensorBoard, and trackers in their own processes."""

from .fire_rl_trackers import Tracker

__all__ = ["Tracker"]
