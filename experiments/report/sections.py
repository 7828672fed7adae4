"""The parts of a report: chapters with sections, figures and tables, which the page and the Markdown text show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fire_rl.training.metric import Metric

from ..analysis.statistics import Band, Interval
from . import wording
from .drawing import Look, Looks, PageImage, page_image
from .score_figures import Row, draw_rows


@dataclass(frozen=True)
class TableRow:
    """A method's row; the page shows the method's marker before the first cell."""

    method: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of a section."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    folded: bool = False  # whether the page hides it until the reader opens it
    words: tuple[int, ...] = ()  # columns of words, which are aligned to the left


@dataclass(frozen=True)
class Illustration:
    """A figure of a section; `wide` replaces it on wide screens."""

    image: PageImage
    caption: str = ""
    wide: PageImage | None = None


@dataclass(frozen=True)
class Section:
    """A section of a chapter."""

    title: str
    text: str
    figures: tuple[Illustration, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()  # methods that the figures show without their names
    small: bool = False  # whether the figures are many and small


@dataclass(frozen=True)
class Chapter:
    """The chapter on one agent in one environment, or in all of them."""

    name: str  # the target of links to the chapter
    title: str
    lead: str
    headline: Sequence[str]
    findings: Sequence[str]
    notes: Sequence[str]  # those that not all chapters have
    made_by: str  # how the intervals of the findings were computed
    sections: Sequence[Section]


@dataclass(frozen=True)
class Report:
    """Everything that the page and the Markdown text show."""

    title: str
    lead: str
    notes: Sequence[str]  # those about all chapters
    chapters: Sequence[Chapter]
    facts: Mapping[str, str]
    command: str  # that makes the report again
    methods: Looks
    terms: Mapping[str, str]  # the words for the metric, for better, and for steps in the explanations
    acts: bool  # whether policies act in environments
    phases: bool = False  # whether there are pictures phase by phase


def rows_figure(
    found: Iterable[tuple[str, Look, Interval]], title: str, xlabel: str, metric: Metric | None = None,
    runs: Sequence[Sequence[float]] = (), difference: bool = False, most: int = 4,
    line: float | None = None, limits: tuple[float, float] | None = None,
) -> Illustration:  # fmt: skip
    """Return a figure with a row for each interval, all with equally many decimals; `runs` are drawn below the row."""
    labels, looks, intervals = zip(*found, strict=True)
    said = columns_in_words([[interval] for interval in intervals], metric, difference, most)
    rows = [
        Row(label, look, interval, text, own)
        for label, look, interval, (text,), own in zip(
            labels, looks, intervals, said, runs or [()] * len(labels), strict=True
        )
    ]
    return illustrated(rows, title, xlabel, metric, line, limits)


def illustrated(
    rows: Sequence[Row], title: str, xlabel: str, metric: Metric | None = None, line: float | None = None,
    limits: tuple[float, float] | None = None, over_steps: bool = False, least: float = 0.0,
) -> Illustration:  # fmt: skip
    """Return a figure of rows, with its numbers as alternative text."""
    alt = f"{title}: " + "; ".join(f"{row.label} {row.said}, n = {row.interval.n}" for row in rows)
    figure = draw_rows(rows, xlabel, metric, line, limits, over_steps, least)
    return Illustration(page_image(figure, alt, [row.look for row in rows]), title)


def columns_in_words(
    rows: Sequence[Sequence[Interval | None]], metric: Metric | None = None, difference: bool = False, most: int = 4
) -> list[list[str]]:
    """Return intervals of one unit as text, row by row, all with equally many decimals; a dash for None."""
    printed = [[one and wording.printed(one, metric) for one in row] for row in rows]
    places = min(most, wording.decimals(one for row in printed for one in row if one))
    return [[wording.interval(one, places, difference) if one else wording.MISSING for one in row] for row in printed]


def ways(found: Iterable[Interval | Band | None], what: str = "Intervals") -> tuple[str, ...]:
    """Return sentences on how the intervals were computed, each different one once."""
    distinct = dict.fromkeys(each.method for each in found if each is not None)
    return tuple(f"{what}: {way}." for way in distinct)
