"""What a report is made of: sections of figures and tables, which the page's template lays out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..analysis.statistics import Band, Interval
from . import wording
from .figures import Look, Picture, picture
from .score_figures import Row, draw_rows

Looks = Mapping[str, Look]


@dataclass(frozen=True)
class TableRow:
    """A method's row; its sign stands before the first cell."""

    method: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    folded: bool = False  # long, and opened by who wants it
    words: tuple[int, ...] = ()  # columns of words, which begin at the left


@dataclass(frozen=True)
class Figured:
    """A picture in the text; `wide` takes its place where there is room."""

    picture: Picture
    caption: str
    wide: Picture | None = None


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    figures: tuple[Figured, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()  # methods whose lines have no name in the figures
    small: bool = False  # figures: many and small


def rows_of(
    found: Iterable[tuple[str, Look, Interval]],
    runs: Mapping[str, Sequence[float]] | None = None,
    difference: bool = False,
    most: int = 4,
) -> list[Row]:
    """Rows of a figure, whose numbers have as many decimals."""
    listed = list(found)
    places = min(most, wording.decimals([interval for *_, interval in listed]))
    return [
        Row(label, look, interval, wording.interval(interval, places, difference), (runs or {}).get(label, ()))
        for label, look, interval in listed
    ]


def rows_figure(
    rows: Sequence[Row], title: str, xlabel: str, line: float | None = None,
    limits: tuple[float, float] | None = None, over_steps: bool = False,
) -> Figured:  # fmt: skip
    alt = f"{title}: " + "; ".join(f"{row.label} {row.said}, n = {row.interval.n}" for row in rows)
    figure = draw_rows(rows, xlabel, line, limits, over_steps)
    return Figured(picture(figure, alt, [row.look for row in rows]), title)


def columns_said(
    intervals: Sequence[Sequence[Interval | None]], difference: bool = False, most: int = 4
) -> list[list[str]]:
    """A table of intervals of one unit in words, row by row, with as many decimals everywhere."""
    places = min(most, wording.decimals([found for row in intervals for found in row]))
    return [[wording.interval(found, places, difference) for found in row] for row in intervals]


def ways(found: Iterable[Interval | Band | None], what: str = "Intervals") -> tuple[str, ...]:
    """How they were made, each way once."""
    distinct = dict.fromkeys(each.method for each in found if each is not None)
    return tuple(f"{what}: {way}." for way in distinct)
