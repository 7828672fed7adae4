"""What runs in a tracker's own process: it imports the standard library and the tracker's package, no PyTorch.

The process is begun as `python -m fire_rl_trackers`, with the folder above on the path, so that nothing else of the
project is imported there: it takes a quarter of the memory and a second less.
"""

from .tracker import Ending, Tracker

__all__ = ["Ending", "Tracker"]
