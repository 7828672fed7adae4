"""The valid name that a wrong one was most likely meant to be, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str]) -> str:
    """The closest of the valid names, in whatever case it was written; "none" where there are none."""
    names = list(valid)
    lower = {each.lower(): each for each in reversed(names)}
    close = get_close_matches(name, names, n=1, cutoff=1.0) or get_close_matches(name.lower(), lower, n=1, cutoff=0.0)
    return lower.get(close[0], close[0]) if close else "none"
