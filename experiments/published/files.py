"""Reads per-seed results of other groups, in the CSV layout in which SimbaV2, XQC and FlashSAC publish theirs.

A file has one row for each evaluation of each seed, in the columns `exp_name` (the method), `env_name`, `seed`,
`metric`, `env_step` and `value`. Only the metric `avg_return` is read. The files are under results/ in the repositories
DAVIAN-Robotics/SimbaV2 (SimBa, SimbaV2 and baselines such as TD-MPC2), danielpalenicek/xqc and Holiday-Robot/FlashSAC.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from operator import attrgetter
from pathlib import Path

from fire_rl.envs.original import PREFIX as ORIGINAL
from fire_rl.envs.suite import PREFIX as SUITE
from fire_rl.fire.nearest import nearest
from fire_rl.training.durable import read_regular

from ..analysis.labels import PUBLISHED

COLUMNS = ("exp_name", "env_name", "seed", "metric", "env_step", "value")
RETURN = "avg_return"
MOST_BYTES = 64 * 2**20  # of a file; the published ones have about 2 MB
MOST_STEPS = 2**53
MOST_METHODS = 24  # in a file
LONGEST_NAME = 80
TWICE = "appear twice in the file; the later row is used"
PREFIXES = ("fire_rl/", "ALE/", ORIGINAL, SUITE)


@dataclass(frozen=True)
class Series:
    """One seed in one environment: the mean return of each evaluation, by step."""

    seed: int
    returns: Mapping[int, float]
    lost: tuple[int, ...] = ()  # steps of evaluations whose value is not finite, such as after a divergence


@dataclass(frozen=True)
class Published:
    """One method of one file."""

    name: str  # in a report, such as "xqc (published)"
    method: str  # as the file spells it
    file: Path
    runs: Mapping[str, tuple[Series, ...]]  # by environment, as the file spells it
    notes: Mapping[str, tuple[str, ...]]  # about its rows, by environment, as the file spells it

    def environment(self, env: str) -> str | None:
        """Return the file's name for our environment `env`; None if the file has no results in it."""
        return next(iter(self.environments(env)), None)

    def environments(self, env: str) -> list[str]:
        """Return all of the file's names that may be our `env`: the equal one first, then those of the same version."""
        (bare, version), found = _bare(env), [theirs for theirs in self.runs if same_environment(theirs, env)]
        return sorted(found, key=lambda theirs: (theirs != env, _bare(theirs) != (bare, version)))


def read_published(paths: Sequence[Path]) -> tuple[Published, ...]:
    """Return every method of every file; raise ValueError if a file does not have the layout."""
    found = [method for path in dict.fromkeys(path.expanduser() for path in paths) for method in _read(path)]
    for label in (attrgetter("file.name"), attrgetter("file")):  # methods with equal names get their file's name, too
        counts = Counter(each.name for each in found)
        found = [replace(e, name=f"{e.method} ({label(e)})") if counts[e.name] > 1 else e for e in found]
    return tuple(found)


def same_environment(theirs: str, ours: str) -> bool:
    """Return whether two names mean one environment, as h1-sit_hard-v0, h1_sit_hard_v0 and h1-sit-hard do."""
    (bare, version), (other, others) = _bare(theirs), _bare(ours)
    return bare == other and (version == others or None in (version, others))


def _bare(name: str) -> tuple[str, str | None]:
    """Split a name into the environment, in lower case with hyphens, and its version, if it has one."""
    prefix = next((each for each in PREFIXES if name.startswith(each)), "")
    words = name.removeprefix(prefix).lower().replace("_", "-")
    match = re.fullmatch(r"(.+)-v(\d+)", words)
    return (match[1], match[2]) if match else (words, None)


def _read(path: Path) -> Iterator[Published]:
    found: dict[str, _Rows] = {}
    for method, env, seed, step, value in _rows(path, _text(path)):
        found.setdefault(method, _Rows()).add(env, seed, step, value)
        if len(found) > MOST_METHODS:
            raise ValueError(
                f"{path} has more than {MOST_METHODS} values of exp_name; each value is read as a method, and at most "
                f"{MOST_METHODS} are allowed"
            )
    for method, rows in found.items():
        yield Published(f"{method}{PUBLISHED}", method, path, rows.series(), rows.notes())


def _text(path: Path) -> str:
    try:
        content = bytes(read_regular(path.resolve(), MOST_BYTES))  # the user named the path: a link is followed
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8, so it is not a CSV file of results") from error
    except RuntimeError as error:  # links that point to each other
        raise ValueError(f"{path}: {error}") from error
    if "\0" in text:
        raise ValueError(f"{path} contains zero bytes, so it is not a CSV file of results")
    return text


@dataclass
class _Rows:
    """The rows of one method. If a step appears twice, the later row is used."""

    runs: dict[str, dict[int, dict[int, float]]] = field(default_factory=dict)  # by environment, seed and step
    lost: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # steps without a value, by env and seed
    twice: Counter[str] = field(default_factory=Counter)  # rows whose step appeared before, by environment

    def add(self, env: str, seed: int, step: int, value: float) -> None:
        returns = self.runs.setdefault(env, {}).setdefault(seed, {})
        self.twice[env] += step in returns
        if math.isfinite(value):
            returns[step] = value
        else:
            self.lost.setdefault((env, seed), []).append(step)

    def series(self) -> dict[str, tuple[Series, ...]]:
        return {
            env: tuple(
                Series(seed, dict(sorted(returns.items())), tuple(sorted(self.lost.get((env, seed), ()))))
                for seed, returns in sorted(seeds.items())
            )
            for env, seeds in self.runs.items()
        }

    def notes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = dict.fromkeys(self.runs, ())
        for (env, seed), steps in self.lost.items():
            ending = "is not a number and is left out" if len(steps) == 1 else "are not numbers and are left out"
            found[env] += (f"{len(steps):,} of its evaluations with seed {seed} {ending}",)
        for env, count in self.twice.items():
            if count:
                found[env] += (f"{count:,} of its evaluations {TWICE}",)
        return found


def _rows(path: Path, text: str) -> Iterator[tuple[str, str, int, int, float]]:
    """Yield method, environment, seed, step and value of the rows that hold returns, all of them checked."""
    table = csv.reader(StringIO(text, newline=""), strict=True)
    metrics: dict[str, None] = {}
    read = False
    try:
        columns = [name.strip() for name in next(table, [])]
        places = _places(path, columns)
        for cells in table:
            if not cells:
                continue
            where = f"{path}, line {table.line_num}"
            if len(cells) != len(columns):
                raise ValueError(f"{where} has {len(cells)} values; there are {len(columns)} columns")
            method, env, seed, metric, step, value = (cells[place].strip() for place in places)
            metrics[metric] = None
            if metric == RETURN:
                read = True
                names = _name(method, "exp_name", where), _name(env, "env_name", where)
                yield *names, _whole(seed, "seed", where), _whole(step, "env_step", where), _number(value, where)
    except csv.Error as error:
        raise ValueError(f"{path}, line {table.line_num} is not valid CSV: {error}") from error
    if not metrics:
        raise ValueError(f"{path} has no rows below its columns")
    if not read:
        which = ", ".join(map(_short, list(metrics)[:5]))
        raise ValueError(f"{path} has no rows of the metric {RETURN}, the only one that is read; it has {which}")


def _places(path: Path, columns: Sequence[str]) -> list[int]:
    """Return the place of each column in a row; the layout is recognised by the columns' names."""
    if missing := [name for name in COLUMNS if name not in columns]:
        has = ", ".join(_short(name) for name in columns[:8] if name) or "none"
        some = len(missing) < len(COLUMNS)
        near = f"; nearest to {missing[0]} is {_short(nearest(missing[0], columns))}" if some else ""
        raise ValueError(
            f"{path} has no column{'s' * (len(missing) > 1)} {', '.join(missing)}; the layout has to be that of "
            f"SimbaV2, XQC and FlashSAC: {','.join(COLUMNS)}; the first line has {has}{near}"
        )
    if twice := [name for name in COLUMNS if columns.count(name) > 1]:
        raise ValueError(f"{path} has the column {twice[0]} twice")
    return [columns.index(name) for name in COLUMNS]


def _short(text: str) -> str:
    return " ".join(text.split())[:40]


def _name(text: str, column: str, where: str) -> str:
    if not 0 < len(text) <= LONGEST_NAME or not text.isprintable():
        raise ValueError(f"{where}: {column} {text[:40]!r} given; allowed is a name of 1 to {LONGEST_NAME} letters")
    return text


def _whole(text: str, column: str, where: str) -> int:
    """Return a whole number. The files often write steps and seeds with a decimal point, such as 100000.0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value.is_integer() and 0 <= value <= MOST_STEPS):
        raise ValueError(f"{where}: {column} {text[:40]!r} given; allowed is a whole number of at least 0")
    return int(value)


def _number(text: str, where: str) -> float:
    """Return the number; NaN if the cell is empty. Raise ValueError if the text is not a number."""
    try:
        value = float(text) if text else math.nan
    except ValueError as error:
        raise ValueError(f"{where}: value {text[:40]!r} given; allowed is a number") from error
    return value if abs(value) < 1e300 else math.nan
