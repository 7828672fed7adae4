"""Check the entries of saved records before they are used, since a file may contain anything.

Messages name types and never show a value: it may be large, nested or have several lines.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from numbers import Real
from typing import Any, TypeVar

Kind = TypeVar("Kind")

LONGEST = 1_000  # characters of a name
LONGEST_METHOD = 5_000  # of a method with its fields, which may name many matrices
LARGEST = 2**63  # counts of a run are below this


def entry(record: object, key: str, kind: type[Kind]) -> Kind:
    """Return the value of `key`, or raise ValueError if it is not of type `kind`.

    Whole numbers must not be negative. Where a float is expected, null stands for NaN.
    """
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
        fits = type(value) is kind  # isinstance would accept a bool as an int
    if not fits:
        raise ValueError(f"{key!r} of a record is of type {type(value).__name__}, not {kind.__name__}")
    if isinstance(value, int) and kind is int and not 0 <= value < LARGEST:
        raise ValueError(f"{key!r} of a record is not a count: it is negative or too large")
    longest = LONGEST_METHOD if key == "method" else LONGEST
    if isinstance(value, str) and not (value.isprintable() and len(value) <= longest):
        raise ValueError(f"{key!r} of a record is longer than {longest:,} characters or cannot be printed")
    return value


def refuse_unreadable(method: str) -> None:
    """Raise ValueError if records of this method, spelled with its fields, could be written but not read."""
    if len(method) > LONGEST_METHOD:
        raise ValueError(
            f"the method with its options has {len(method):,} characters; allowed are {LONGEST_METHOD:,}: name fewer "
            "matrices, or use patterns such as encoder.*"
        )


def read(kind: type[Kind], record: object) -> Kind:
    """Return a dataclass of texts and numbers, read from the record's entries of the same names."""
    return kind(
        **{
            field.name: entry(record, field.name, field.type)  # type: ignore[arg-type]  # a class, not its name
            for field in fields(kind)  # type: ignore[arg-type]
            if field.default is MISSING or not isinstance(record, Mapping) or field.name in record
        }
    )
