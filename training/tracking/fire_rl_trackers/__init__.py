"""The code of a tracker's own process, which imports the standard library and the tracker's package, but not PyTorch.

The process is started as `python -m fire_rl_trackers`, with the folder above this one on the path, so that it imports
nothing else of the project. This saves three quarters of the memory, and a second.
"""

from .tracker import Ending, Tracker

__all__ = ["Ending", "Tracker"]
