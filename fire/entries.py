"""Entries of saved records, looked at before they are used: a file may say anything.

Messages name types and never show a value, which may be large, nested or of several lines.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from numbers import Real
from typing import Any, TypeVar

Kind = TypeVar("Kind")

LONGEST = 1_000  # characters of a name
LARGEST = 2**63  # below which a number is one that a run can have counted


def entry(record: object, key: str, kind: type[Kind]) -> Kind:
    """The value of `key`, which is of that kind; whole numbers are not negative, null is a number that was none."""
    if not isinstance(record, Mapping):
        raise ValueError(f"a record is a {type(record).__name__}, not a mapping")
    if key not in record:
        raise ValueError(f"a record has no {key!r}")
    value: Any = record[key]
    if kind is float:
        value = math.nan if value is None else value
        fits = isinstance(value, Real) and not isinstance(value, bool)
        fits = fits and not (isinstance(value, int) and abs(value) >= LARGEST)
    else:
        fits = type(value) is kind  # a bool is no int
    if not fits:
        raise ValueError(f"{key!r} of a record is of type {type(value).__name__}, not {kind.__name__}")
    if isinstance(value, int) and kind is int and not 0 <= value < LARGEST:
        raise ValueError(f"{key!r} of a record is no count: it is negative or too large")
    if isinstance(value, str) and not (value.isprintable() and len(value) <= LONGEST):
        raise ValueError(f"{key!r} of a record is longer than {LONGEST:,} characters or cannot be printed")
    return value


def read(kind: type[Kind], record: object) -> Kind:
    """A dataclass of texts and numbers from the entries of the same names."""
    return kind(
        **{
            field.name: entry(record, field.name, field.type)  # type: ignore[arg-type]  # a class, not its name
            for field in fields(kind)  # type: ignore[arg-type]
            if field.default is MISSING or not isinstance(record, Mapping) or field.name in record
        }
    )
