"""Say where in a user's own module an error happened, so that a message of one line is enough to find it."""

import traceback
from pathlib import Path


def place_of(error: BaseException, module: str) -> str:
    """Return " (at FILE:LINE)" for the last line of the module that the error passed through; "" if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).stem == module.rpartition(".")[2]]
    return f" (at {own[-1].filename}:{own[-1].lineno})" if own else ""
