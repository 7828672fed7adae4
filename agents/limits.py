"""Limits of every settings dataclass: the bounds of its fields, and the longest text and list."""

import math
from dataclasses import field, fields
from typing import Any

LARGEST = 2**53  # whole numbers up to here are exact in JSON, in TensorBoard's steps and as float64
LONGEST_LIST, LONGEST_TEXT = 10_000, 1_000  # entries, characters
SHOWN_DIGITS = 20


def bounded(default: Any, low: float, high: float = math.inf) -> Any:
    """Return a field of a settings dataclass whose value must be a finite number within these bounds, or None."""
    return field(default=default, metadata={"bounds": (low, high)})


def check_limits(settings: Any) -> None:
    """Raise ValueError if a value of a settings dataclass is out of bounds, too large or too long."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if isinstance(value, tuple) and len(value) > LONGEST_LIST:
            raise ValueError(
                f"{flag(each.name)} has {len(value):,} entries; allowed are at most {LONGEST_LIST:,}, "
                f"each of at most {LONGEST_TEXT:,} characters"
            )
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, str) and len(entry) > LONGEST_TEXT:
                raise ValueError(
                    f"{flag(each.name)} {entry[:SHOWN_DIGITS]!r}... given, {len(entry):,} characters; "
                    f"allowed are at most {LONGEST_TEXT:,}"
                )
            if isinstance(entry, int) and abs(entry) > LARGEST:
                raise ValueError(
                    f"{flag(each.name)} {shown(entry)} given; allowed are whole numbers up to {LARGEST:,} (2**53)"
                )
        low, high = each.metadata.get("bounds", (-math.inf, math.inf))
        if "bounds" in each.metadata and value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{flag(each.name)} {value} given; allowed is a finite number from {low:g} to {high:g}")


def flag(name: str) -> str:
    """Return the command-line flag of a field."""
    return "--" + name.replace("_", "-")


def setting_named(flag: str) -> str:
    """Return the name of the setting that a flag sets."""
    return flag.removeprefix("--").replace("-", "_")


def shown(number: float) -> str:
    """Return a number as it was given; for a whole number with very many digits the first ones and their count."""
    if isinstance(number, float):
        return str(number)
    if number.bit_length() > 10_000:  # Python refuses to write out more than some thousand digits
        return f"of {round(number.bit_length() * 0.30103):,} digits"
    text = str(number)
    return text if len(text) <= SHOWN_DIGITS + 1 else f"{text[:SHOWN_DIGITS]}... ({len(text)} digits)"
