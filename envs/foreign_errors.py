"""Describe an error of other people's code in one line that helps its author."""

import sysconfig
import traceback
from pathlib import Path

LONGEST = 500  # characters of the message
INSTALLED = tuple(sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib"))
OWN = str(Path(__file__).parent)


def in_one_line(error: BaseException) -> str:
    """Return the error's type, its message and its place: the last line of code that belongs neither to an installed
    package nor to this one."""
    words = " ".join(str(error).split())
    if len(words) > LONGEST:
        words = f"{words[:LONGEST]}..."
    return f"{type(error).__name__}: {words or 'no message'}{_place(error)}"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(OWN)]
    theirs = [frame for frame in frames if not frame.filename.startswith((*INSTALLED, "<"))]
    return "".join(f" (at {frame.filename}:{frame.lineno})" for frame in (theirs or frames)[-1:])
