"""What is drawn of a run, and its final return: read line by line, kept in bounds however long the run.

Each series is thinned as it grows, so that a run of any length holds a few thousand points of it: more than a picture
has columns. A run that is resumed reads what its metrics say and then has the same points as one that never stopped.
"""

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from typing import Any, Generic, TypeVar

from .files import lines_of

Point = TypeVar("Point")

# Points of a series, of which a half is kept when there are more; about two for each column of a picture.
MOST_EPISODES = 4_000
MOST_POINTS = 2_000
MOST_NETWORKS = 16
LARGEST = 2**63  # steps
FURTHEST = 1e100  # beyond which nothing is drawn: a picture's axes have to hold it, squared

# Measure, what it says, and whether its axis is logarithmic.
PANELS = (
    ("dormant", "dormant units, share", False),
    ("active", "active units, share", False),
    ("effective_rank", "effective rank of features", False),
    ("deviation", "deviation from isometry", True),
    ("weight_norm", "length of weights", False),
    ("gradient_norm", "length of gradient", True),
)


class Series(Generic[Point]):
    """Points in their order: all of them, or every second, fourth, eighth ..., and always the newest."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most  # even
        self._kept: list[Point] = []
        self._newest: list[Point] = []  # where it is not among them
        self._interval, self._count = 1, 0

    def add(self, point: Point) -> None:
        if self._count % self._interval:
            self._newest = [point]
        else:
            self._kept.append(point)
            self._newest = []
        self._count += 1
        if len(self._kept) > self._most:  # an odd number, so that the newest stays
            del self._kept[1::2]
            self._interval *= 2

    def points(self) -> list[Point]:
        return self._kept + self._newest


class Events:
    """How many events there were, of which method the first was, and where: one in each of at most so many bins."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self.count, self.method = 0, ""
        self._most = most
        self._first: dict[int, int] = {}  # environment step of the first event in a bin
        self._width = 1  # environment steps

    def add(self, step: int, method: str) -> None:
        self.method = self.method or method
        self.count += 1
        self._first.setdefault(step // self._width, step)
        while len(self._first) > self._most:
            self._width *= 2
            steps, self._first = self._first.values(), {}
            for first in steps:
                self._first.setdefault(first // self._width, first)

    def steps(self) -> list[int]:
        """Exact where there are few."""
        return list(self._first.values())


class History:
    """What `curve.png` and `measures.png` show, by environment step."""

    def __init__(self) -> None:
        self.episodes: Series[tuple[int, float]] = Series(MOST_EPISODES)  # step, return
        self.evaluations: Series[tuple[int, float, float, float]] = Series()  # step, mean, lower and upper quartile
        self.measures: dict[str, Series[tuple[float, ...]]] = {}  # by network: step, and a number for each panel
        self.events = Events()

    def add(self, line: Mapping[str, Any]) -> None:
        """A line as it is written to the metrics. ValueError where it is of a kind that is drawn but does not fit."""
        match line.get("kind"):
            case "episode":
                self.episodes.add((_step(line), _number(line.get("return", ""))))
            case "evaluation":
                self.evaluations.add((_step(line), *_summary(line.get("returns"))))
            case "measures":
                self._add_measures(line)
            case "event":
                method = line.get("method")
                if not isinstance(method, str):
                    raise ValueError("an event names no method")
                self.events.add(_step(line), method)

    def _add_measures(self, line: Mapping[str, Any]) -> None:
        step = _step(line)
        for network in [network for network, _, name in (key.partition("/") for key in line) if name == "weight_norm"]:
            values = [_number(line.get(f"{network}/{name}")) for name, _, _ in PANELS]
            if network in self.measures or len(self.measures) < MOST_NETWORKS:
                self.measures.setdefault(network, Series()).add((step, *values))

    @classmethod
    def read(cls, path: Path) -> "History":
        """What a run's metrics say so far; lines that are not what is written there are passed over."""
        history = cls()
        for _, line in lines_of(path):
            with suppress(ValueError):
                history.add(line or {})
        return history


def final_return(path: Path) -> tuple[float, int] | None:
    """Mean return of the evaluations in the last tenth of the steps run, and how many those are.

    Evaluations in which no episode ended have none; None where no other is left.
    """
    evaluations: deque[tuple[int, float]] = deque()
    last = 0
    for _, line in lines_of(path):
        if line is None or line["kind"] != "evaluation":
            continue
        with suppress(ValueError):
            evaluations.append((_step(line), _number(line.get("return", ""))))
            last = evaluations[-1][0]
        while evaluations and evaluations[0][0] < 0.9 * last:
            evaluations.popleft()
    returns = [value for step, value in evaluations if step >= 0.9 * last and not math.isnan(value)]
    return (sum(returns) / len(returns), len(returns)) if returns else None


def _step(line: Mapping[str, Any]) -> int:
    step = line.get("environment_steps")
    if type(step) is not int or not 0 <= step < LARGEST:
        raise ValueError("a line has no environment step")
    return step


def _number(value: object) -> float:
    """NaN for null, as what is not finite is written, and for what no picture can hold."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a {type(value).__name__} stands where a number belongs")
    return float(value) if abs(value) < FURTHEST else math.nan


def _summary(returns: object) -> tuple[float, float, float]:
    """Mean, lower and upper quartile; NaN where an episode has no return."""
    if not isinstance(returns, list) or not returns:
        raise ValueError("an evaluation has no returns")
    values = [_number(value) for value in returns]
    if any(map(math.isnan, values)):
        return math.nan, math.nan, math.nan
    low, _, high = quantiles(values * 2 if len(values) == 1 else values, method="inclusive")
    return sum(values) / len(values), low, high
