"""The valid name that a wrong one was most likely meant to be, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str]) -> str:
    """The closest of the valid names; "none" where there are none."""
    return next(iter(get_close_matches(name, list(valid), n=1, cutoff=0.0)), "none")
