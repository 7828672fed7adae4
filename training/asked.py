"""Translate a command line as people type it into the names and values that the settings have."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fire_rl.fire import Method

from .known_flags import OTHERS, SAME, answer_to, same_as
from .spoken import spoken

HELP = ("-h", "--help", "--help-all", "--list-envs", "--list-data", "--list-methods")  # these only print a text
NUMBERS = ("-inf", "-infinity", "-nan")


@dataclass(frozen=True)
class Command:
    """The flags of a command."""

    name: str  # its name in `known_flags`: sac, compare, evaluate, ...
    hints: Mapping[str, Any]  # the type of each flag's value
    published: Mapping[str, Method]  # methods for which the learner has its own published values
    elsewhere: Mapping[str, tuple[str, ...]]  # flags of other scripts, each with the names of these scripts
    also: tuple[str, ...] = ()  # other commands whose names it accepts: compare.py accepts those of its agent's script


def understood(arguments: Sequence[str], command: Command) -> list[str]:
    """Return the command line in our own spelling; raise ValueError in one line for an unknown flag."""
    words: list[str] = []
    for given, values in split(arguments):
        if given in HELP:
            words += [given, *values]
            continue
        name, values = _named(given, values, command)
        words += [name, *spoken(name, values, command.hints[name], command.published)]
    return words


def _named(given: str, values: list[str], command: Command) -> tuple[str, list[str]]:
    """Return our name of a flag, and its values."""
    hints = command.hints
    if given in hints:
        return given, values
    for name in (command.name, *command.also):
        same = same_as(given, name)
        if same is not None and same.ours in hints:
            if same.zero and values and re.fullmatch(r"0*\.?0*", values[0]):
                raise ValueError(f"{given} {values[0]} given; {same.zero}")
            return same.ours, values
    plain = "--" + given.removeprefix("--no-")
    if given.startswith("--no-") and not values and hints.get(plain) is bool:
        return plain, ["False"]
    for name in (command.name, *command.also):
        if answer := answer_to(given, name, " ".join(values)):
            raise ValueError(f"{' '.join((given, *values))[:80]} given; {answer}")
    if not given.startswith("--"):
        double = f"-{given}"
        meant = f"did you mean {double}?" if double in hints else "flags begin with two dashes, such as --seed"
        raise ValueError(f"{given} given; {meant}")
    if scripts := command.elsewhere.get(given):
        raise ValueError(f"{given} given; that is a flag of {' and '.join(scripts)}, not of this one")
    raise unknown_flag(given, hints, (command.name, *command.also))


def unknown_flag(name: str, known: Iterable[str], commands: Sequence[str] = ()) -> ValueError:
    """Return the error for an unknown flag, with our nearest flag, or ours for another program's nearest name."""
    ours = [*known, *HELP[1:]]
    others = {other: same.ours for same in SAME for other in same.names.split() if {*commands} & {*same.commands}}
    others = {other: same for other, same in others.items() if same in ours and other.startswith("--")}
    answered = [other for each in OTHERS for other in each.names.split() if {*commands} & {*each.commands}]
    near = difflib.get_close_matches(name, ours, 2)
    far = difflib.get_close_matches(name, [*others, *answered], 1, 0.75)
    if far and (not near or _ratio(name, far[0]) > _ratio(name, near[0])):
        near = [others.get(far[0], far[0])]
    return ValueError(f"unknown flag {name}; " + (f"did you mean {' or '.join(near)}?" if near else "see --help-all"))


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


def split(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Split a command line into flags, spelled as in --help, each with its values."""
    parts: list[tuple[str, list[str]]] = []
    for word in arguments:
        if word.startswith("--"):
            name, equals, attached = word.partition("=")
            parts.append((name.replace("_", "-"), [attached] if equals else []))
        elif re.match(r"-[a-zA-Z]", word) and word.lower() not in NUMBERS:
            parts.append((word, []))
        elif parts:
            parts[-1][1].append(word)
        else:
            raise ValueError(f"{word!r} given; flags begin with --, such as --env h1-walk (--help lists them)")
    return parts


def words_of(flags: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the words of a command line with these flags and values: the inverse of `split`."""
    return [word for name, values in flags for word in (name, *values)]
