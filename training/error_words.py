"""An error's message in one line, for our own messages: other libraries write theirs in several lines."""

LONGEST = 500  # characters


def message_of(error: BaseException) -> str:
    """Return an error's message in one line; its type if it has no message."""
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__


def in_a_line(error: BaseException) -> str:
    """Return an error's type and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}"
