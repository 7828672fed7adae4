"""Replays: stored transitions, and how many gradient updates are done for each of them."""

from .adaptive_ratio import AdaptiveRatio
from .batch import Batch, Drawn
from .frames import FrameReplay, frame_replay_bytes
from .ratio import ReplayRatio
from .segments import Segment
from .store import Damaged, Store
from .transitions import TransitionReplay

__all__ = [
    "AdaptiveRatio",
    "Batch",
    "Damaged",
    "Drawn",
    "FrameReplay",
    "ReplayRatio",
    "Segment",
    "Store",
    "TransitionReplay",
    "frame_replay_bytes",
]
