"""Select matrices, parameters and modules by name, with patterns as in a shell (`*` and `?`), and read such patterns.

A module's name selects everything inside it: "encoder", "*.query". As text, several patterns are separated by `|`, and
a split is written `*.c_attn:3`, or with the sizes of its parts `*.qkv_proj:3072/1024/1024`.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from .nearest import nearest

Patterns: TypeAlias = str | Sequence[str] | None
Parts: TypeAlias = int | Sequence[int]  # how many equal parts, or the size of each
Split: TypeAlias = Mapping[str, Parts] | Sequence[tuple[str, Parts]] | None


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern matches the name itself or the name of a module that contains it."""
    path = name.split(".")
    return any(fnmatchcase(".".join(path[: end + 1]), pattern) for end in range(len(path)))


def any_matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Whether any of the patterns matches any of the names."""
    return any(matches(pattern, name) for pattern in patterns for name in names)


def check_pattern(pattern: str, names: Sequence[str]) -> None:
    """Raise ValueError, with the nearest name, if the pattern matches none."""
    if not any_matches((pattern,), names):
        raise ValueError(f"pattern {pattern!r} matches no name in the module; nearest is {nearest(pattern, names)}")


def as_patterns(patterns: Patterns) -> tuple[str, ...]:
    """Return one pattern, several or none as a tuple."""
    return (patterns,) if isinstance(patterns, str) else tuple(patterns or ())


def as_split(split: Split) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
    """Return a split as pairs of a pattern and its parts, which can be compared and hashed."""
    try:
        pairs = split.items() if isinstance(split, Mapping) else tuple(split or ())
        given = [(pattern, parts if isinstance(parts, int) else tuple(parts)) for pattern, parts in pairs]
    except (TypeError, ValueError):
        given = [("", ())]
    for pattern, parts in given:
        sizes = (parts,) if isinstance(parts, int) else parts
        if not isinstance(pattern, str) or not sizes or not all(isinstance(size, int) for size in sizes):
            raise ValueError(
                f"split={split!r} given; allowed is for each name the number of equal parts, or their sizes, such as "
                '{"*.c_attn": 3} or {"*.qkv": (64, 16, 16)}'
            )
    return tuple(given)


def read_patterns(text: str) -> tuple[str, ...]:
    """Read patterns from text."""
    return () if text == "none" else tuple(part.strip() for part in text.split("|"))


def write_patterns(patterns: Patterns) -> str:
    """Write patterns as text that `read_patterns` reads."""
    return "|".join(as_patterns(patterns)) or "none"


def read_split(text: str) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
    """Read a split from text."""
    return () if text == "none" else tuple(_read_pair(part.strip()) for part in text.split("|"))


def _read_pair(text: str) -> tuple[str, int | tuple[int, ...]]:
    pattern, _, parts = text.rpartition(":")
    try:
        sizes = tuple(int(size) for size in parts.split("/"))
    except ValueError:
        pattern = ""
    if not pattern:
        raise ValueError(f"split={text} given; allowed is PATTERN:PARTS or PATTERN:SIZE/SIZE/..., such as *.c_attn:3")
    return pattern, sizes[0] if len(sizes) == 1 else sizes


def write_split(split: Split) -> str:
    """Write a split as text that `read_split` reads."""
    pairs = [(pattern, (parts,) if isinstance(parts, int) else parts) for pattern, parts in as_split(split)]
    return "|".join(f"{pattern}:{'/'.join(map(str, parts))}" for pattern, parts in pairs) or "none"
