"""The points of a run that are drawn in pictures, kept in limited memory however long the run is.

Each series is thinned as it grows to at most a few thousand points, which is more than a picture has columns. A run
that is resumed reads its metrics again and then has the same points as one that never stopped.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, Generic, TypeVar

from .lines import EpisodeLine, EvaluationLine, EventLine, Line, MeasuresLine, Number, Reader

Point = TypeVar("Point")

# The largest number of points of a series; when there are more, every second one is dropped. A picture has about half
# as many columns.
MOST_EPISODES = 4_000
MOST_POINTS = 2_000
MOST_COLUMNS = 400  # evaluations with a value for each phase
MOST_NETWORKS = 16
FURTHEST = 1e100  # larger values are not drawn, because the squares of an axis's limits have to be finite

# A measure, its description, and whether its axis is logarithmic.
PANELS = (
    ("dormant", "dormant units, share", False),
    ("active", "active units, share", False),
    ("effective_rank", "effective rank of features", False),
    ("deviation", "deviation from isometry", True),
    ("weight_norm", "length of weights", False),
    ("gradient_norm", "length of gradient", True),
)


class Series(Generic[Point]):
    """Points in order: all of them, or every second, fourth, eighth and so on, and always the newest."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most  # must be even
        self._kept: list[Point] = []
        self._newest: list[Point] = []  # the newest point, if it is not among those kept
        self._interval, self._count = 1, 0

    def add(self, point: Point) -> None:
        """Add a point, and drop every second one if there are too many."""
        if self._count % self._interval:
            self._newest = [point]
        else:
            self._kept.append(point)
            self._newest = []
        self._count += 1
        if len(self._kept) > self._most:  # an odd number of points, so that the newest one stays
            del self._kept[1::2]
            self._interval *= 2

    def points(self) -> list[Point]:
        """Return the points that are kept."""
        return self._kept + self._newest


class Events:
    """The number of events, the first one's method, and the steps of the first event in each of `most` bins at most."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self.count, self.method = 0, ""
        self._most = most
        self._first: dict[int, int] = {}  # the step of the first event in each bin
        self._width = 1  # of a bin, in steps

    def add(self, step: int, method: str) -> None:
        """Count an event."""
        self.method = self.method or method
        self.count += 1
        self._first.setdefault(step // self._width, step)
        while len(self._first) > self._most:
            self._width *= 2
            steps, self._first = self._first.values(), {}
            for first in steps:
                self._first.setdefault(first // self._width, first)

    def steps(self) -> list[int]:
        """Return the steps of events; of many events, only the first one in each bin."""
        return list(self._first.values())


class History:
    """The points that `curve.png`, `measures.png` and `phases.png` show, by step."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.episodes: Series[tuple[int, float]] = Series(MOST_EPISODES)  # step, return
        self.evaluations: Series[tuple[int, float, float, float]] = Series()  # step, mean, lower and upper quartile
        self.phases: Series[tuple[int, tuple[float, ...]]] = Series(MOST_COLUMNS)  # step, a value for each phase
        self.measures: dict[str, Series[tuple[float, ...]]] = {}  # by network: step, and a number for each panel
        self.events = Events()
        self.count = 0  # lines

    def add(self, line: Line | None) -> None:
        """Add a line of metrics; unreadable lines, and kinds that are not drawn, are skipped."""
        self.count += 1
        match line:
            case EpisodeLine():
                self.episodes.add((line.steps, _number(line.value)))
            case EvaluationLine():
                self.evaluations.add((line.steps, *_summary(line.values or (line.value,))))
                if line.by_phase:
                    self.phases.add((line.steps, tuple(map(_number, line.by_phase))))
            case MeasuresLine():
                self._add_measures(line.steps, line.measures)
            case EventLine():
                self.events.add(line.steps, line.method)

    def _add_measures(self, step: int, measures: Mapping[str, Any]) -> None:
        if any(value is not None and type(value) not in (int, float) for value in measures.values()):
            return  # such a line was not written by a run
        networks = [network for network, _, name in (key.partition("/") for key in measures) if name == "weight_norm"]
        for network in networks:
            values = [_number(measures.get(f"{network}/{name}")) for name, _, _ in PANELS]
            if network in self.measures or len(self.measures) < MOST_NETWORKS:
                self.measures.setdefault(network, Series()).add((step, *values))

    @classmethod
    def read(cls, run: Path, reader: Reader) -> "History":
        """Read a run's metrics so far."""
        history = cls(reader)
        for _, line in reader.of(run):
            history.add(line)
        return history


def _number(value: object) -> float:
    """Return a value as a float; NaN for null (which is written for values that are not finite), for anything else
    that is not a number, and for numbers too large for a picture."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if abs(value) < FURTHEST else math.nan


def _summary(given: Sequence[Number]) -> tuple[float, float, float]:
    """Return mean, lower and upper quartile; NaN if one of the values is missing."""
    values = [_number(value) for value in given]
    if any(map(math.isnan, values)):
        return math.nan, math.nan, math.nan
    low, _, high = quantiles(values * 2 if len(values) == 1 else values, method="inclusive")
    return sum(values) / len(values), low, high
