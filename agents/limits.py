"""What holds for every settings dataclass: how large a number, how long a text or a list may be at all."""

from dataclasses import fields
from typing import Any

LARGEST = 2**53  # whole numbers up to here are exact in JSON, in TensorBoard's steps and as float64
LONGEST_LIST, LONGEST_TEXT = 10_000, 1_000  # entries, characters
SHOWN_DIGITS = 20


def check_limits(settings: Any) -> None:
    """Raise ValueError, in one line, where a value of a settings dataclass is larger or longer than anything is."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, tuple) and len(value) > LONGEST_LIST:
            raise ValueError(
                f"{flag(field.name)} has {len(value):,} entries; allowed are {LONGEST_LIST:,}, "
                f"each of {LONGEST_TEXT:,} characters at most"
            )
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, str) and len(entry) > LONGEST_TEXT:
                raise ValueError(
                    f"{flag(field.name)} {entry[:SHOWN_DIGITS]!r}... given, {len(entry):,} characters; "
                    f"allowed are {LONGEST_TEXT:,}"
                )
            if isinstance(entry, int) and abs(entry) > LARGEST:
                raise ValueError(
                    f"{flag(field.name)} {shown(entry)} given; allowed are whole numbers up to {LARGEST:,} (2**53)"
                )


def flag(name: str) -> str:
    """The command-line spelling of a field."""
    return "--" + name.replace("_", "-")


def shown(number: float) -> str:
    """A number as it was given; of a whole one with very many digits the first ones, and how many there are."""
    if isinstance(number, float):
        return str(number)
    if number.bit_length() > 10_000:  # Python refuses to write out more than some thousand digits
        return f"of {round(number.bit_length() * 0.30103):,} digits"
    text = str(number)
    return text if len(text) <= SHOWN_DIGITS + 1 else f"{text[:SHOWN_DIGITS]}... ({len(text)} digits)"
