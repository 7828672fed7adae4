"""What a report is made of: chapters of sections with figures and tables, which the page and the Markdown text show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fire_rl.training.metric import Metric

from ..analysis.statistics import Band, Interval
from . import wording
from .drawing import Look, PageImage, page_image
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
class Illustration:
    """A figure in the text; `wide` takes its place where there is room."""

    image: PageImage
    caption: str = ""
    wide: PageImage | None = None


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    figures: tuple[Illustration, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()  # methods whose lines have no name in the figures
    small: bool = False  # figures: many and small


@dataclass(frozen=True)
class Chapter:
    """One agent in one environment, or in all of them."""

    name: str  # that links lead to
    title: str
    lead: str
    headline: Sequence[str]
    findings: Sequence[str]
    notes: Sequence[str]  # that not all chapters have
    made_by: str  # intervals of the findings
    sections: Sequence[Section]


@dataclass(frozen=True)
class Report:
    title: str
    lead: str
    notes: Sequence[str]  # on all chapters
    chapters: Sequence[Chapter]
    facts: Mapping[str, str]
    command: str  # that makes it again
    methods: Looks
    terms: Mapping[str, str]  # what the explanations call the metric, what is better, and a step
    acts: bool  # whether policies act in environments
    phases: bool = False  # whether there are pictures phase by phase


def rows_figure(
    found: Iterable[tuple[str, Look, Interval]], title: str, xlabel: str, metric: Metric | None = None,
    runs: Mapping[str, Sequence[float]] | None = None, difference: bool = False, most: int = 4,
    line: float | None = None, limits: tuple[float, float] | None = None,
) -> Illustration:  # fmt: skip
    """A row for each interval; their numbers have as many decimals. `runs` are shown below each, by its label."""
    labels, looks, intervals = zip(*found, strict=True)
    said = columns_said([[interval] for interval in intervals], metric, difference, most)
    rows = [
        Row(label, look, interval, text, (runs or {}).get(label, ()))
        for label, look, interval, (text,) in zip(labels, looks, intervals, said, strict=True)
    ]
    return illustrated(rows, title, xlabel, metric, line, limits)


def illustrated(
    rows: Sequence[Row], title: str, xlabel: str, metric: Metric | None = None, line: float | None = None,
    limits: tuple[float, float] | None = None, over_steps: bool = False, least: float = 0.0,
) -> Illustration:  # fmt: skip
    alt = f"{title}: " + "; ".join(f"{row.label} {row.said}, n = {row.interval.n}" for row in rows)
    figure = draw_rows(rows, xlabel, metric, line, limits, over_steps, least)
    return Illustration(page_image(figure, alt, [row.look for row in rows]), title)


def columns_said(
    intervals: Sequence[Sequence[Interval]], metric: Metric | None = None, difference: bool = False, most: int = 4
) -> list[list[str]]:
    """A table of intervals of one unit in words, row by row, with as many decimals everywhere."""
    printed = [[wording.printed(found, metric) for found in row] for row in intervals]
    places = min(most, wording.decimals([found for row in printed for found in row]))
    return [[wording.interval(found, places, difference) for found in row] for row in printed]


def ways(found: Iterable[Interval | Band | None], what: str = "Intervals") -> tuple[str, ...]:
    """How they were made, each way once."""
    distinct = dict.fromkeys(each.method for each in found if each is not None)
    return tuple(f"{what}: {way}." for way in distinct)
