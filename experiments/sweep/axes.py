"""Axes of a comparison: settings with several values, each combination of which is a comparison of its own.

Any flag of the training script that takes one value and changes the result is an axis where it is given several:
`--replay-ratio 1 2 4`. With several axes every combination of their values is run. Several values of `--reinit-every`
make a method of its own for each period instead, as methods without events have no such setting.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from fire_rl.agents.limits import setting_named
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS
from fire_rl.training.settings import flag, names_with

from ..kept import Asked, value_text

EVERY = "--reinit-every"
SCHEDULES = {"every": EVERY, "at": "--reinit-at", "when": "--reinit-when"}  # how a method is spelled with a schedule
Flags = tuple[tuple[str, tuple[str, ...]], ...]  # each with the values given to it


@dataclass(frozen=True)
class Axis:
    """A setting with its values, as they were given."""

    flag: str
    values: tuple[str, ...]

    @property
    def setting(self) -> str:
        return setting_named(self.flag)


def axes_among(agent: str, flags: Flags, hints: Mapping[str, Any], before: Asked | None) -> tuple[Axis, ...]:
    """The flags that are axes: those with several values, and those that are axes of the folder already."""
    known = set(before.axes) if before else set()
    found = []
    for name, values in flags:
        axis = Axis(name, values)
        if name == EVERY or get_origin(hints.get(name)) is tuple or not values:
            continue
        if len(values) > 1:
            _refuse_repeats(axis)
            _refuse_what_is_none(agent, axis)
            found.append(axis)
        elif axis.setting in known:
            found.append(axis)
    if before and (missing := [name for name in before.axes if name not in {axis.setting for axis in found}]):
        had = ", ".join(before.axes[missing[0]])
        raise ValueError(f"the folder holds runs with {flag(missing[0])} {had}: say which, or give another --dir")
    return tuple(found)


def _refuse_repeats(axis: Axis) -> None:
    """Numbers are the same however they are written."""
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


def _refuse_what_is_none(agent: str, axis: Axis) -> None:
    """Settings that change no result, and those that a comparison has another way for."""
    usual = usual_settings(agent)
    given, name = " ".join(axis.values), axis.setting
    if name not in usual.by_name():
        raise ValueError(f"{axis.flag} {given!r} given; it takes one value")
    if name in names_with(usual.run, "machine", "record"):
        raise ValueError(f"{axis.flag} {given!r} given; it takes one value: it changes no result, so it is no axis")
    if name in names_with(usual.run, "timing"):
        raise ValueError(f"{axis.flag} {given!r} given; it takes one value, which all methods with events have")


def usual_settings(agent: str) -> Config:
    """Those of a run where nothing is given, of no preset."""
    kind: Any = LEARNERS[agent].config  # each of whose groups has defaults
    made: Config = kind()
    return made


def values_at(config: Config, axes: Sequence[Axis]) -> dict[str, Any]:
    """The values that the settings of a run have on the axes."""
    settings = config.by_name()
    return {axis.setting: settings[axis.setting] for axis in axes}


# Methods with a schedule of their own: METHOD@every=2000, METHOD@at=30000,at=60000, METHOD@when=dormant>0.25


def with_periods(
    methods: Sequence[str], flags: Flags, has_events: Callable[[str], bool]
) -> tuple[tuple[str, ...], Flags]:
    """Several periods of --reinit-every as methods: each that has events once for each of them."""
    periods = next((values for name, values in flags if name == EVERY), ())
    if len(periods) < 2:
        return tuple(methods), flags
    made: list[str] = []
    for text in methods:
        takes = "@" not in text and has_events(text)
        made += [f"{text}@every={period}" for period in periods] if takes else [text]
    if made == list(methods):
        raise ValueError(f"{EVERY} given; none of {', '.join(methods)} has events")
    return tuple(made), tuple((name, values) for name, values in flags if name != EVERY)


def without_schedule(text: str) -> str:
    return text.partition("@")[0]


def schedule_of(text: str) -> Flags:
    """The flags of a schedule that is part of a method's spelling; nothing where there is none."""
    _, at, schedule = text.partition("@")
    found: dict[str, list[str]] = {}
    for part in schedule.split(",") if at else ():
        word = re.fullmatch(r"(every|at|when)=(.+)", part.strip())
        if word is None:
            raise ValueError(
                f"--reinit {text[:80]!r} given; after @ allowed are every=UPDATES, at=STEP and when=MEASURE>VALUE, "
                "several with commas between them"
            )
        found.setdefault(SCHEDULES[word[1]], []).append(word[2])
    if len(found.get(EVERY, ())) > 1:
        raise ValueError(f"--reinit {text[:80]!r} given; a method has one period")
    return tuple((name, tuple(values)) for name, values in found.items())
