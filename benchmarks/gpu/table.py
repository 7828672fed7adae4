"""Formats the results as a table in plain text."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

WIDTH = 48  # of names
LEAST = 10  # of columns
NO_CARD = "This is a CPU, not a GPU: no figure in this table is a GPU's."


def table(results: Mapping[str, Any]) -> str:
    """Return the table of all parts that have run, and of what failed."""
    lines = list(beginning(results))
    for name, part in results["parts"].items():
        lines += ["", *part_lines(name, part)]
    return "\n".join([*lines, "", *ending(results)]) + "\n"


def beginning(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines that tell on which machine, when and by which command the results were made."""
    yield f"{results['card']}, {results['processor']}, torch {results['torch']}, commit {results['commit']}"
    yield f"{results['begun']}, {results['command']}"
    if results["device"] == "cpu":
        yield NO_CARD
    if results["quick"]:
        yield "--quick: small networks and short timings, only a test of the program."


def part_lines(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one part."""
    yield f"== {name}: {part['meaning']} ({part['seconds']:.0f} s)"
    yield from _rows(part["rows"])
    if "error" in part:
        yield f"ERROR: {part['error']}"


def failures(results: Mapping[str, Any]) -> list[str]:
    """Return one line for each part and row that failed."""
    found = []
    for name, part in results["parts"].items():
        found += [f"{name}, {row['name']}: {row['error']}" for row in part["rows"] if "error" in row]
        found += [f"{name}: {part['error']}"] if "error" in part else []
    return found


def ending(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the last lines, which list what failed."""
    failed = failures(results)
    yield f"{len(failed)} of the above failed:" if failed else "All of the above succeeded."
    yield from (f"  {line}" for line in failed)


def _rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the rows with numbers aligned to the right, and a heading wherever the columns change."""
    for columns, group in groupby(rows, key=columns_of):
        members = list(group)
        if not columns:
            yield from (f"{row['name']:<{WIDTH}s} {in_a_line(row)}" for row in members)
            continue
        cells = [columns, *([in_words(row["figures"][name]) for name in columns] for row in members)]
        widths = [max(LEAST, *(len(line[number]) for line in cells)) for number in range(len(columns))]
        for name, line in zip(["", *(row["name"] for row in members)], cells, strict=True):
            yield f"{name:<{WIDTH}s} " + "  ".join(
                f"{cell:>{width}s}" for cell, width in zip(line, widths, strict=True)
            )


def columns_of(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a row's figures; none if the row is shown without columns."""
    figures = row.get("figures", {})
    return [] if "" in figures or len(figures) < 2 else list(figures)


def in_a_line(row: Mapping[str, Any]) -> str:
    """Return the text of a row without columns."""
    if "figures" not in row:
        return str(row["says"]) if "says" in row else f"ERROR: {row['error']}"
    return ", ".join(f"{in_words(value)} {name}".strip() for name, value in row["figures"].items())


def in_words(value: Any) -> str:
    """Return a figure as text with four digits."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
