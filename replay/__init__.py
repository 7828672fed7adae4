"""Experience, and how often it is reused."""

from .batch import Batch
from .ratio import ReplayRatio
from .segments import Segment
from .transitions import TransitionReplay

__all__ = ["Batch", "ReplayRatio", "Segment", "TransitionReplay"]
