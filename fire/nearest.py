"""The valid name that a wrong one was most likely meant to be, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str]) -> str:
    """The closest of the valid names, in whatever case it was written; "none" where there are none."""
    names = list(valid)
    lower = {each.lower(): each for each in reversed(names)}
    close = get_close_matches(name, names, n=1, cutoff=1.0) or get_close_matches(name.lower(), lower, n=1, cutoff=0.0)
    return lower.get(close[0], close[0]) if close else "none"


def did_you_mean(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message that says what there is already: "; did you mean X?" where a name is close, else nothing."""
    close = get_close_matches(name, list(valid), 1, cutoff)
    return f"; did you mean {close[0]}?" if close else ""
