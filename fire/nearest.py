"""Find the valid name that is most similar to a wrong one, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return the most similar valid name, ignoring upper and lower case; "none" if there are no valid names."""
    names = list(valid)
    lower = {each.lower(): each for each in reversed(names)}
    close = get_close_matches(name, names, n=1, cutoff=1.0) or get_close_matches(name.lower(), lower, n=1, cutoff=0.0)
    return lower.get(close[0], close[0]) if close else "none"


def choices(name: str, valid: Iterable[str]) -> str:
    """Return all valid names and the most similar one, for an error message: "a, b; nearest is b"."""
    names = list(valid)
    return f"{', '.join(names)}; nearest is {nearest(name, names)}"


def did_you_mean(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the end of an error message: "; did you mean X?" if a valid name is close, otherwise an empty text."""
    close = get_close_matches(name, list(valid), 1, cutoff)
    return f"; did you mean {close[0]}?" if close else ""
