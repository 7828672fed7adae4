"""The command line from frozen dataclasses, by tyro; mistakes end in one line and exit code 2, nothing created."""

import contextlib
import difflib
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import tyro

from fire import describe_interventions

from .beginning import Request
from .build import SACRun
from .settings import flag

MARKERS = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff)


@dataclass(frozen=True)
class Where:
    """Where a run lives and how it begins."""

    preset: Literal["paper", "quick"] = "paper"
    """paper: the published setting. quick: narrower networks and minutes on two CPU cores. Flags given besides win."""
    run_dir: Path | None = None
    """Folder of the new run; unset: runs/<env>-<method>-seed<N>-<time>."""
    resume: Path | None = None
    """Continue the run in this folder exactly where its newest whole checkpoint is; --steps may be longer."""
    branch_from: str | None = None
    """RUN@STEP: start a new run from another's checkpoint, --reinit acting once, there."""


@dataclass(frozen=True)
class CommandLine:
    """All flags of a training script."""

    where: Where
    config: SACRun


def read_command_line(
    arguments: Sequence[str], presets: Mapping[str, SACRun], program: str, description: str
) -> Request:
    """The request behind a command line; exits with code 2 and one line where it cannot be understood."""
    default = CommandLine(Where(), preset_of(arguments, presets))
    check_flags(arguments, default)
    parsed = tyro.cli(
        CommandLine,
        default=default,
        args=arguments,
        prog=program,
        description=f"{description}\n\n{describe_interventions()}",
        config=MARKERS,
    )
    given = {name.removeprefix("--").partition("=")[0].replace("-", "_") for name, _ in split(arguments)}
    given -= {field.name for field in fields(Where)}
    settings = {
        field: getattr(part, field) for part in (parsed.config.run, parsed.config.agent) for field in vars(part)
    }
    where = parsed.where
    if where.resume is not None and (where.branch_from is not None or where.run_dir is not None):
        raise ValueError("--resume goes with neither --branch-from nor --run-dir")
    parsed.config.run.check()
    return Request(
        parsed.config, {name: settings[name] for name in given}, where.run_dir, where.resume, where.branch_from
    )


def main(body: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a script's body on its arguments; a ValueError is the user's mistake and is said in one line."""
    try:
        code = body(sys.argv[1:])
    except ValueError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


def split(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Flags, each with the words that follow it."""
    parts: list[tuple[str, list[str]]] = []
    for word in arguments:
        if word.startswith("--"):
            parts.append((word, []))
        elif parts:
            parts[-1][1].append(word)
        elif word != "-h":
            raise ValueError(f"{word!r} given; flags begin with --, such as --env h1-walk (--help lists them)")
    return parts


def flags_of(kind: type) -> dict[str, Any]:
    """Every flag of a dataclass of dataclasses, with its type."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        found |= flags_of(hint) if is_dataclass(hint) else {flag(name): hint}  # type: ignore[arg-type]
    return found


def check_flags(arguments: Sequence[str], default: CommandLine) -> None:
    """Refuse unknown flags by their nearest names, and wrong values by what is allowed."""
    known = flags_of(CommandLine)
    for word, values in split(arguments):
        name, equals, attached = word.partition("=")
        name = name.replace("_", "-")
        if name == "--help":
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, 2)
            raise ValueError(
                f"unknown flag {name}; " + (f"did you mean {' or '.join(near)}?" if near else "see --help")
            )
        values = [attached] if equals else values
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                tyro.cli(CommandLine, default=default, args=[name, *values], config=MARKERS)
        except SystemExit:
            given = " ".join(values)
            raise ValueError(f"{name} {given!r} given; allowed is {spoken(known[name], given)}") from None


def spoken(hint: Any, given: str) -> str:
    """What a flag takes, in words, with the nearest choice where there are some."""
    if get_origin(hint) is Literal:
        choices = [str(choice) for choice in get_args(hint)]
        near = difflib.get_close_matches(given, choices, 1)
        return f"one of {', '.join(choices)}" + (f"; did you mean {near[0]}?" if near else "")
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a word", Path: "a path"}
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None) and kind is not Ellipsis]
    return words.get(kinds[0], str(kinds[0])) + (", or several" if get_origin(hint) is tuple else "")


def preset_of(arguments: Sequence[str], presets: Mapping[str, SACRun]) -> SACRun:
    """The values behind --preset, read before the other flags, which go on top of them."""
    name = "paper"
    for word, values in split(arguments):
        flag_name, equals, attached = word.partition("=")
        if flag_name == "--preset":
            name = attached if equals else " ".join(values)
    return presets.get(name, presets["paper"])  # a wrong name is refused with the other flags
