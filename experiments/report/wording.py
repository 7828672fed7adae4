"""Numbers and what they show, in words that promise no more than they hold."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.ticker import EngFormatter

from fire_rl.training.metric import Metric

from ..analysis.records import Run
from ..analysis.results import Compared, MethodResults
from ..analysis.statistics import Band, Interval

MISSING = "–"

# Numbers


def decimals(intervals: Iterable[Interval]) -> int:
    """For intervals beside each other: what tells a twentieth of a narrow one."""
    known = list(intervals)
    widths = [interval.high - interval.low for interval in known if interval.bounded]
    least = 1e-9 * max((abs(interval.value) for interval in known if math.isfinite(interval.value)), default=0.0)
    sizes = [width for width in widths if least < width < math.inf]
    sizes = sizes or [abs(interval.value) / 10 for interval in known if 0 < abs(interval.value) < math.inf]
    return 1 if not sizes else min(4, max(0, 1 - math.floor(math.log10(sorted(sizes)[len(sizes) // 4] / 2))))


def number(value: float | None, places: int | None = None) -> str:
    """A number as people write it; three digits where nothing else is asked for."""
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
    text = number(value, places)
    return f"+{text}" if value > 0 and text[0].isdigit() else text


def interval(found: Interval, places: int | None = None, difference: bool = False) -> str:
    """`6.1 [5.2, 7.3]`; of a single run the number alone."""
    places = decimals([found]) if places is None else places
    return _with_bounds(found, lambda value: signed(value, places) if difference else number(value, places))


def percent(found: Interval | None) -> str:
    """A share and its bounds: `80% [38, 96]`."""
    return MISSING if found is None else _with_bounds(found, lambda value: f"{100 * value:.0f}", "%")


def steps(value: float | None) -> str:
    """A count of steps, short: 12,500 or 1.2M."""
    if value is None or not math.isfinite(value):
        return number(value)
    return f"{value / 1e6:.4g}M" if abs(value) >= 1e6 else f"{value:,.0f}"


def step_interval(found: Interval) -> str:
    return _with_bounds(found, steps)


def short_steps(found: Interval) -> str:
    """The same where there is little room: `140k [120k, never]`."""
    say = EngFormatter(places=None, sep="")
    return _with_bounds(found, lambda value: say(value) if math.isfinite(value) else number(value))


def _with_bounds(found: Interval, say: Callable[[float], str], unit: str = "") -> str:
    return say(found.value) + unit + (f" [{say(found.low)}, {say(found.high)}]" if found.bounded else "")


def amount(value: float | None) -> str:
    """Three digits of numbers of any size: 5.21, 123, 1.23M."""
    if value is None or not math.isfinite(value) or not 1e4 <= abs(value) < 1e12:
        return number(value)
    power = 6 if abs(value) >= 999_500 and abs(value) < 999.5e6 else 9 if abs(value) >= 999.5e6 else 3
    return number(value / 10**power) + {3: "k", 6: "M", 9: "G"}[power]


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def ranges(values: Iterable[int]) -> str:
    """`0–4, 7`"""
    groups: list[list[int]] = []
    for value in sorted(set(values)):
        if groups and value == groups[-1][-1] + 1:
            groups[-1].append(value)
        else:
            groups.append([value])
    return ", ".join(f"{group[0]}–{group[-1]}" if len(group) > 2 else ", ".join(map(str, group)) for group in groups)


def plural(n: int, one: str) -> str:
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


# Runs


def runs_of(found: Interval | Band) -> str:
    """Its n: 5, or where there are several environments "2 environments × 5 runs"."""
    return found.runs_said() if len(found.sides[0]) > 1 else str(found.n)


def runs_and_diverged(method: MethodResults, found: Interval) -> str:
    """Its n, and how many of them diverged: "5, 1 diverged"."""
    diverged = sum(run.run.diverged is not None for run in method.finished)
    return runs_of(found) + (f", {diverged} diverged" if diverged else "")


def ended(run: Run, share: bool = False) -> str:
    """How a run ended, or how far it is."""
    if run.diverged:
        return f"diverged at step {run.diverged.steps:,}"
    if run.finished:
        return "finished"
    if not share:
        return "unfinished"
    return f"at {100 * run.reached / run.steps:.0f}%" if run.reached else "not begun"


def how_many_ended(runs: Sequence[Run]) -> str:
    """Such as "5 finished and 1 diverged of 6"."""
    finished, diverged = sum(run.finished for run in runs), sum(run.diverged is not None for run in runs)
    return f"{finished} finished{f' and {diverged} diverged' if diverged else ''} of {len(runs)}"


def place(path: Path) -> Path:
    """Where a folder is, from here on if it is below: as one typed it, and nobody else's disk."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


# Metrics


def by_direction(metric: Metric, higher: str, lower: str) -> str:
    """The first where higher is better, the second where lower is."""
    return higher if metric.better == "higher" else lower


def in_unit(value: float | None, metric: Metric) -> str:
    """A single value of a metric, in three digits where it asks for no more than one decimal."""
    if value is None or not math.isfinite(value):
        return number(value)
    return number(metric.scale * value, metric.decimals if metric.decimals > 1 else None) + metric.suffix


def printed(found: Interval, metric: Metric | None) -> Interval:
    """An interval in the unit that it is printed in, such as per cent."""
    if metric is None or metric.scale == 1:
        return found
    return replace(found, **{name: metric.scale * getattr(found, name) for name in ("value", "low", "high")})


def failing(compared: Compared) -> str:
    """What runs that diverged count with."""
    name = compared.metric.name
    return f"the {name} of a policy that fails" if compared.acts else f"the worst {name} of all of these runs"


def terms(comparisons: Sequence[Compared]) -> dict[str, str]:
    """What the page's explanations call the metric, what is better, and a step; where there are several, each."""

    def each(words: Callable[[Compared], str]) -> str:
        return " or ".join(dict.fromkeys(map(words, comparisons)))

    return {
        "value": each(lambda c: c.metric.name),
        "unit": each(lambda c: c.unit),
        "steps": each(lambda c: c.short_unit),
        "better": each(lambda c: c.metric.better),
        "beyond": each(lambda c: by_direction(c.metric, "above", "below")),
        "earned": each(lambda c: "how much was earned" if c.acts else "what it was"),
        "failing": each(failing),
        "place": each(lambda c: "environment" if c.acts else "data set"),
        "falls": each(lambda c: f"the {c.metric.name} {by_direction(c.metric, 'falls', 'rises')}"),
    }
