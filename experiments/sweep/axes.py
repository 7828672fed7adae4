"""Axes of a comparison: settings that are given several values, such as `--replay-ratio 1 2 4`.

Any flag of the training script that takes one value and changes the result becomes an axis if it is given several.
Every combination of the axes' values is run, and is a comparison of its own. `--reinit-every` is different: several
values of it make one method for each period, because methods without events do not have this setting.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from fire_rl.agents.limits import setting_named
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS
from fire_rl.training.settings import flag, names_with

from ..kept import KeptPlan, value_text

EVERY = "--reinit-every"
SCHEDULES = {"every": EVERY, "at": "--reinit-at", "when": "--reinit-when"}  # words after METHOD@, and their flags
Flags = tuple[tuple[str, tuple[str, ...]], ...]  # pairs of a flag and the values given to it


@dataclass(frozen=True)
class Axis:
    """A flag that is given several values, and these values as they were given."""

    flag: str
    values: tuple[str, ...]

    @property
    def setting(self) -> str:
        """The name of the setting that belongs to the flag."""
        return setting_named(self.flag)


def axes_among(agent: str, flags: Flags, hints: Mapping[str, Any], before: KeptPlan | None) -> tuple[Axis, ...]:
    """Return the flags that are axes: those with several values, and those that are already axes of the folder."""
    known = set(before.axes) if before else set()
    found = []
    for name, values in flags:
        axis = Axis(name, values)
        if name == EVERY or get_origin(hints.get(name)) is tuple or not values:
            continue
        if len(values) > 1:
            _refuse_repeats(axis)
            _refuse_no_axis(agent, axis)
            found.append(axis)
        elif axis.setting in known:
            found.append(axis)
    if before and (missing := [name for name in before.axes if name not in {axis.setting for axis in found}]):
        had = ", ".join(before.axes[missing[0]])
        raise ValueError(
            f"the folder holds runs with {flag(missing[0])} {had}: give {flag(missing[0])} with the values to run, or "
            "another --dir"
        )
    return tuple(found)


def _refuse_repeats(axis: Axis) -> None:
    """Raise ValueError if a value is given twice; 4 and 4.0 are the same number."""
    seen: dict[str, str] = {}
    for text in axis.values:
        try:
            value = value_text(float(text))
        except ValueError:
            value = text
        if value in seen:
            also = "" if seen[value] == text else f": {seen[value]} is the same"
            raise ValueError(f"{axis.flag} {' '.join(axis.values)[:80]!r} given; {text} is given twice{also}")
        seen[value] = text


def _refuse_no_axis(agent: str, axis: Axis) -> None:
    """Raise ValueError if the setting cannot be an axis: it changes no result, or is part of the schedule."""
    usual = usual_settings(agent)
    given, name = " ".join(axis.values), axis.setting
    if name not in usual.by_name():
        raise ValueError(f"{axis.flag} {given!r} given; it takes one value")
    if name in names_with(usual.run, "machine", "record"):
        raise ValueError(
            f"{axis.flag} {given!r} given; it takes one value, as it changes no result and so cannot be compared"
        )
    if name in names_with(usual.run, "timing"):
        raise ValueError(f"{axis.flag} {given!r} given; it takes one value, which is used for all methods with events")


def usual_settings(agent: str) -> Config:
    """Return the default settings of an agent's run, without a preset."""
    kind: Any = LEARNERS[agent].config  # all its fields have defaults
    made: Config = kind()
    return made


def values_at(config: Config, axes: Sequence[Axis]) -> dict[str, Any]:
    """Return a run's value of each axis."""
    settings = config.by_name()
    return {axis.setting: settings[axis.setting] for axis in axes}


# Methods with a schedule of their own: METHOD@every=2000, METHOD@at=30000,at=60000, METHOD@when=dormant>0.25


def with_periods(
    methods: Sequence[str], flags: Flags, has_events: Callable[[str], bool]
) -> tuple[tuple[str, ...], Flags]:
    """If --reinit-every has several periods, replace each method that has events by one method for each period."""
    periods = next((values for name, values in flags if name == EVERY), ())
    if len(periods) < 2:
        return tuple(methods), flags
    made: list[str] = []
    for text in methods:
        takes = "@" not in text and has_events(text)
        made += [f"{text}@every={period}" for period in periods] if takes else [text]
    if made == list(methods):
        raise ValueError(f"{EVERY} given, but none of the methods has events: {', '.join(methods)}")
    return tuple(made), tuple((name, values) for name, values in flags if name != EVERY)


def without_schedule(text: str) -> str:
    """Return a method's spelling without the schedule after @."""
    return text.partition("@")[0]


def schedule_of(text: str) -> Flags:
    """Return the flags of the schedule that a method's spelling has after @; none if it has no schedule."""
    _, at, schedule = text.partition("@")
    found: dict[str, list[str]] = {}
    for part in schedule.split(",") if at else ():
        word = re.fullmatch(r"(every|at|when)=(.+)", part.strip())
        if word is None:
            raise ValueError(
                f"--reinit {text[:80]!r} given; allowed after @ are every=UPDATES, at=STEP and when=MEASURE>VALUE, "
                "several of them separated by commas"
            )
        found.setdefault(SCHEDULES[word[1]], []).append(word[2])
    if len(found.get(EVERY, ())) > 1:
        raise ValueError(f"--reinit {text[:80]!r} given; every= is allowed only once for a method")
    return tuple((name, tuple(values)) for name, values in found.items())
