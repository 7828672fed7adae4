"""Formats numbers, intervals, runs, schedules and metrics as text for the report."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.ticker import EngFormatter

from fire_rl.training.metric import Metric

from ..analysis.labels import WHEN
from ..analysis.method_results import MethodResults
from ..analysis.records import Run
from ..analysis.results import Compared
from ..analysis.statistics import Band, Interval

MISSING = "–"

# Numbers


def decimals(intervals: Iterable[Interval]) -> int:
    """Return the number of decimals for a group of intervals, such that a twentieth of a narrow one is visible."""
    known = list(intervals)
    widths = [interval.high - interval.low for interval in known if interval.bounded]
    least = 1e-9 * max((abs(interval.value) for interval in known if math.isfinite(interval.value)), default=0.0)
    sizes = [width for width in widths if least < width < math.inf]
    sizes = sizes or [abs(interval.value) / 10 for interval in known if 0 < abs(interval.value) < math.inf]
    return 1 if not sizes else min(4, max(0, 1 - math.floor(math.log10(sorted(sizes)[len(sizes) // 4] / 2))))


def number(value: float | None, places: int | None = None) -> str:
    """Return a number as text, with three digits unless `places` says how many decimals."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "never" if value > 0 else "−∞"
    if places is None:
        if value and not 1e-4 <= abs(value) < 1e9:
            return f"{value:.2e}".replace("-", "−")
        places = 0 if abs(value) >= 100 or not value else min(6, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.removeprefix("-")


def signed(value: float, places: int | None = None) -> str:
    """Return a number as text with its sign."""
    text = number(value, places)
    return f"+{text}" if value > 0 and text[0].isdigit() else text


def interval(found: Interval, places: int | None = None, difference: bool = False) -> str:
    """Return an interval as text, such as `6.1 [5.2, 7.3]`; only the number if there is no interval."""
    places = decimals([found]) if places is None else places
    return _with_bounds(found, lambda value: signed(value, places) if difference else number(value, places))


def percent(found: Interval | None) -> str:
    """Return a share with its bounds as text, such as `80% [38, 96]`."""
    return MISSING if found is None else _with_bounds(found, lambda value: f"{100 * value:.0f}", "%")


def steps(value: float | None) -> str:
    """Return a number of steps in short form: 12,500 or 1.2M."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value / 1e6:.4g}M" if abs(value) >= 1e6 else f"{value:,.0f}"


def step_interval(found: Interval) -> str:
    """Return an interval of steps as text, such as `140,000 [120,000, never]`."""
    return _with_bounds(found, steps)


def short_steps(found: Interval) -> str:
    """Return an interval of steps as short text, such as `140k [120k, never]`."""
    say = EngFormatter(places=None, sep="")
    return _with_bounds(found, lambda value: say(value) if math.isfinite(value) else number(value))


def _with_bounds(found: Interval, say: Callable[[float], str], unit: str = "") -> str:
    return say(found.value) + unit + (f" [{say(found.low)}, {say(found.high)}]" if found.bounded else "")


def amount(value: float | None) -> str:
    """Return a number of any size with three digits: 5.21, 123, 1.23M."""
    if value is None or not math.isfinite(value) or not 1e4 <= abs(value) < 1e12:
        return number(value)
    power = 6 if abs(value) >= 999_500 and abs(value) < 999.5e6 else 9 if abs(value) >= 999.5e6 else 3
    return number(value / 10**power) + {3: "k", 6: "M", 9: "G"}[power]


def amounts(found: Interval) -> str:
    """Return an interval of numbers of any size as text, such as `123k [98.0k, 151k]`."""
    return _with_bounds(found, amount)


def duration(seconds: float | None) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def ranges(values: Iterable[int]) -> str:
    """Return whole numbers as ranges, such as `0–4, 7`."""
    groups: list[list[int]] = []
    for value in sorted(set(values)):
        if groups and value == groups[-1][-1] + 1:
            groups[-1].append(value)
        else:
            groups.append([value])
    return ", ".join(f"{group[0]}–{group[-1]}" if len(group) > 2 else ", ".join(map(str, group)) for group in groups)


def plural(n: int, one: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


# Runs


def runs_of(found: Interval | Band) -> str:
    """Return the number of runs as text: "5", or for several environments "2 environments × 5 runs"."""
    return found.runs_in_words() if len(found.sides[0]) > 1 else str(found.n)


def runs_and_diverged(method: MethodResults, found: Interval) -> str:
    """Return the number of runs, and how many of them diverged: "5, 1 diverged"."""
    diverged = sum(run.run.diverged is not None for run in method.finished)
    return runs_of(found) + (f", {diverged} diverged" if diverged else "")


def ended(run: Run, share: bool = False) -> str:
    """Return how a run ended, or with `share` how far an unfinished run is."""
    if run.diverged:
        return f"diverged at step {run.diverged.steps:,}"
    if run.finished:
        return "finished"
    if not share:
        return "unfinished"
    return f"at {100 * run.reached / run.steps:.0f}%" if run.reached else "not begun"


def how_many_ended(runs: Sequence[Run]) -> str:
    """Return text such as "5 finished and 1 diverged of 6"."""
    finished, diverged = sum(run.finished for run in runs), sum(run.diverged is not None for run in runs)
    return f"{finished} finished{f' and {diverged} diverged' if diverged else ''} of {len(runs)}"


def schedules_in_words(compared: Iterable[Compared]) -> str:
    """Return text such as "fire, reset once, at step 5,000; redo every 1,000 updates"; empty without events."""
    methods: dict[str, dict[str, None]] = {}
    for each in compared:
        for method in each.own:
            for run in method.runs:
                methods.setdefault(method.method, {}).update(dict.fromkeys(_schedule(run.run)))
    named: dict[str, list[str]] = {}
    for name, found in methods.items():
        if found:
            named.setdefault(" or ".join(found), []).append(name)
    return "; ".join(f"{', '.join(names)} {words}" for words, names in named.items())


def _schedule(run: Run) -> Iterator[str]:
    every, at, when = map(run.schedule.get, WHEN)
    acts = sorted(set(at or ()))
    begins = [step for step in run.phase_starts if step < run.steps]
    if begins and acts == begins and not every and not when:  # as published: at each boundary
        once = f"once, at step {begins[0]:,}, where the second phase begins"
        yield once if len(begins) == 1 else f"where each phase but the first begins, {len(begins)} times"
        return
    steps = [f"{step:,}" for step in acts]
    parts = [f"every {every:,} updates"] if every else []
    parts += [f"{'once, ' * (not every and not when)}at step {steps[0]}"] if len(steps) == 1 else []
    parts += [f"at steps {', '.join(steps)}"] if len(steps) > 1 else []
    parts += [f"whenever {' or '.join(when)}"] if when else []
    if parts:
        yield " and ".join(parts)


def place(path: Path) -> Path:
    """Return a path relative to the current folder if it is below it: shorter, and the same on other machines."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


# Metrics


def by_direction(metric: Metric, higher: str, lower: str) -> str:
    """Return the first text if a higher metric is better, the second if a lower one is."""
    return higher if metric.better == "higher" else lower


def in_unit(value: float | None, metric: Metric) -> str:
    """Return a single value of a metric as text, with three digits unless the metric has more than one decimal."""
    if value is None or not math.isfinite(value):
        return number(value)
    return number(metric.scale * value, metric.decimals if metric.decimals > 1 else None) + metric.suffix


def printed(found: Interval, metric: Metric | None) -> Interval:
    """Return an interval in the unit in which its metric is printed, such as per cent."""
    if metric is None or metric.scale == 1:
        return found
    return replace(found, **{name: metric.scale * getattr(found, name) for name in ("value", "low", "high")})


def failing(compared: Compared) -> str:
    """Return in words the value that diverged runs count with."""
    name = compared.metric.name
    return f"the {name} of a policy that fails" if compared.acts else f"the worst {name} of all these runs"


def terms(comparisons: Sequence[Compared]) -> dict[str, str]:
    """Return the words for the metric, for better, and for steps in the page's explanations, joined by "or"."""

    def each(words: Callable[[Compared], str]) -> str:
        return " or ".join(dict.fromkeys(map(words, comparisons)))

    return {
        "value": each(lambda c: c.metric.name),
        "unit": each(lambda c: c.unit),
        "steps": each(lambda c: c.short_unit),
        "better": each(lambda c: c.metric.better),
        "beyond": each(lambda c: by_direction(c.metric, "above", "below")),
        "earned": each(lambda c: "how much was earned" if c.acts else "how good it was"),
        "failing": each(failing),
        "place": each(lambda c: "environment" if c.acts else "data set"),
        "falls": each(lambda c: f"the {c.metric.name} {by_direction(c.metric, 'falls', 'rises')}"),
    }
