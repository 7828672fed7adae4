"""Read command lines into frozen dataclasses by tyro. A mistake ends in one line and exit code 2; no file is made."""

import contextlib
import io
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import tyro

from fire_rl.agents.limits import setting_named
from fire_rl.fire.nearest import did_you_mean
from fire_rl.place import called

from .asked import HELP, Command, split, understood, unknown_flag, words_of
from .beginning import Request
from .config import Config
from .config_file import config_of_run, is_of_a_run, without, words_of_file
from .help import describe, describe_options, list_envs, list_methods, one_method
from .learners import LEARNERS, Learner, Preset
from .other_script import refuse_other_script
from .output import guard_output, printable
from .settings import flag
from .spoken import as_known
from .stopping import STOPPED
from .trust import refuse_code, trusted

MARKERS = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff)
Options = TypeVar("Options")


@dataclass(frozen=True)
class Where:
    """The folder of a run, and how it begins."""

    preset: str = "paper"
    """Name of a set of values to start from, listed above. Other flags override these values."""
    run_dir: Path | None = None
    """Folder of the new run; unset: runs/<env>-<method>-seed<N>-<time>."""
    config: Path | None = None
    """Settings from a file: YAML, or a run (its folder or config.json), all of whose settings are used. Other flags
    override them. YAML overrides a preset; with a run, --preset is not allowed."""
    resume: Path | None = None
    """Continue the run in this folder exactly, from its newest whole checkpoint; --steps may be longer."""
    branch_from: str | None = None
    """RUN@STEP: start a new run from another run's checkpoint. --reinit acts there, and later by the given schedule."""
    trust: Path | None = None
    """With --resume, --branch-from or --config: the run or file that may name Python modules with methods or
    environments of your own. They are imported, which executes their code: trust only code that you wrote or read."""
    restart: bool = False
    """With --resume, if no checkpoint is left: train again from step 0 and delete the metrics so far."""


def main(body: Callable[[Sequence[str]], int], name: str, arguments: Sequence[str]) -> NoReturn:
    """Run a command's body on its arguments, and exit; a ValueError is a user's mistake and is printed in one line."""
    output = guard_output()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until training installs its own handler
    try:
        code = body(arguments)
    except ValueError as error:
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as error:
        print(f"{name}: {printable(str(error)) or 'stopped; give the same command to start again'}", file=sys.stderr)
        code = STOPPED
    except SystemExit as ended:  # after --help, or raised by the user's own code
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        if not isinstance(ended.code, int | None):
            print(f"{name}: {printable(str(ended.code))}", file=sys.stderr)
    output.flush()
    sys.stderr.flush()
    raise SystemExit(code)


def read_command_line(arguments: Sequence[str], learner: Learner) -> Request:
    """Read a training script's command line. Without --preset, the learner's first preset is used."""
    known = command_of(next(name for name, each in LEARNERS.items() if each is learner))
    words = each_once(understood(arguments, known))
    for name_of_flag, values in split(words):
        if name_of_flag in known.hints and known.hints[name_of_flag] is not bool and not values:
            allowed = allowed_values(known.hints[name_of_flag], "")
            allowed = "wandb, mlflow or module:Class, or several" if name_of_flag == "--track" else allowed
            raise ValueError(f"{name_of_flag} given without a value; allowed is {allowed}")
    show_what_there_is(words, learner)
    flags = dict(split(words))
    words, base = with_config_file(words, flags, learner, known)
    name = " ".join(dict(split(words)).get("--preset", (next(iter(learner.presets)),)))
    preset = preset_named(name, learner.presets)
    default = command_line(learner.config)(Where(name), base or preset.config)
    parsed = read_flags(default, words)
    where, config = parsed.where, parsed.config
    given = {setting_named(name) for name, _ in split(words)}
    settings = config.by_name()
    if {"eval_episodes", "eval_steps"} <= given and settings["eval_steps"] is not None:
        print("warning: --eval-episodes has no effect together with --eval-steps", file=sys.stderr)
    if where.restart and not where.resume:
        raise ValueError("--restart given; it is allowed only with --resume")
    if "eval_episodes" in given and "eval_steps" not in given:
        config = config.altered(eval_steps=None)  # overrides a preset's --eval-steps
    if not where.resume and not where.branch_from:
        refuse_other_script(learner, config)
        if where.config:
            typed = {*map(setting_named, flags)}
            refuse_code(config, where.config, typed, trusted(where.config, where.trust))
            where = replace(where, trust=None)  # it was meant for the file of --config
        config.check()
    else:
        config.run.check()
    for name, other in (("reinit_cooldown", "reinit_when"), ("reinit_from", "reinit_every")):
        if name in given and not (getattr(config.run, other) or where.resume):
            raise ValueError(f"{flag(name)} given without {flag(other)}: give both, or neither")
    if where.resume and (where.branch_from or where.run_dir):
        raise ValueError("--resume cannot be given with --branch-from or --run-dir: a run stays in its folder")
    if (where.resume or where.branch_from) and "preset" in given:
        earlier = "these use the settings of the earlier run"
        raise ValueError(f"--preset cannot be given with --resume or --branch-from: {earlier}")
    explicit = {name: value for name, value in settings.items() if name in given}
    if where.branch_from and "eval_episodes" in given:
        explicit.setdefault("eval_steps", None)  # overrides the trunk's --eval-steps
    return Request(config, explicit, where.run_dir, where.resume, where.branch_from, where.trust, where.restart)


@cache
def command_of(name: str) -> Command:
    """Return the flags of a training script, by its learner's name, and the flags that only other scripts have."""
    learner, elsewhere = LEARNERS[name], dict[str, tuple[str, ...]]()
    hints = flags_of(command_line(learner.config))
    for other in LEARNERS.values():
        for given in flags_of(command_line(other.config)).keys() - hints.keys():
            elsewhere[given] = (*elsewhere.get(given, ()), other.script)
    published = next(iter(learner.presets.values())).config.published
    return Command(name, hints, published, elsewhere)


def with_config_file(
    words: Sequence[str], flags: Mapping[str, Sequence[str]], learner: Learner, known: Command
) -> tuple[list[str], Config | None]:
    """Return the words with those of a --config file added, and the settings of the run if --config names a run."""
    if "--config" not in flags:
        return list(words), None
    path = one_path("--config", flags)
    for other in ("--resume", "--branch-from"):
        if other in flags:
            raise ValueError(f"--config {path} given with {other}: an earlier run's settings stay as they are")
    if is_of_a_run(path):
        if "--preset" in flags:
            raise ValueError(f"--preset given with --config {path}: that run has all settings, so no preset is allowed")
        trust = one_path("--trust", flags) if "--trust" in flags else None
        names = {*map(setting_named, flags)}
        return list(words), config_of_run(path, learner.config, names, trust)
    with faults_of(path):
        theirs = words_of_file(path, lambda words: understood(words, known))
    return [*without(theirs, flags), *words], None


def one_path(name: str, flags: Mapping[str, Sequence[str]]) -> Path:
    """Return the only value of a flag as a path; raise ValueError if there are none or several."""
    if len(flags[name]) != 1:
        given = " ".join(flags[name])[:300] or "nothing"
        raise ValueError(f"{name} takes one file or run; {given} given")
    return Path(flags[name][0])


@contextlib.contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Add the file's name to a ValueError about its settings."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def show_what_there_is(words: Sequence[str], learner: Learner) -> None:
    """Print the text that --help, --help-all or a list flag asks for, and exit; do nothing without such a flag."""
    flags = dict(split(words))
    if not {*HELP} & flags.keys():
        return
    name = " ".join(flags.get("--preset", (next(iter(learner.presets)),)))
    preset = preset_named(name, learner.presets)
    if "--list-methods" in flags:
        chosen = flags["--list-methods"]
        print(one_method(preset.config, chosen) if chosen else list_methods())
    elif {"--list-envs", "--list-data"} & flags.keys():
        print(list_envs(learner, preset.config))
    else:
        print(describe(learner, preset.config, Where(name)))
    raise SystemExit(0)


def preset_named(name: str, presets: Mapping[str, Preset]) -> Preset:
    """Return the preset with this name in any case; raise ValueError with the known names if there is none."""
    known = as_known(name, presets)
    if known not in presets:
        meant = did_you_mean(name, presets)
        raise ValueError(f"--preset {name!r} given; allowed is one of {', '.join(presets)}{meant}")
    return presets[known]


def command_line(kind: type[Config]) -> type[Any]:
    """Return a dataclass of all flags of a training script, with the settings of its learner."""
    made = make_dataclass("CommandLine", [("where", Where), ("config", kind)], frozen=True)
    made.__doc__ = "All flags of a training script."
    return made


def read_options(default: Options, arguments: Sequence[str], command: str, operands: str, description: str) -> Options:
    """Read the flags of a command that trains nothing, in any known spelling; its operands come before the flags."""
    words = understood(arguments, Command(command, flags_of(type(default)), {}, {}))
    if {"-h", "--help", "--help-all"} & {name for name, _ in split(words)}:
        print(describe_options(f"{called(command)} {operands}", description, default))
        raise SystemExit(0)
    return read_flags(default, words)


def read_operand(
    default: Options, arguments: Sequence[str], command: str, operand: str, description: str, missing: str
) -> tuple[str, Options]:
    """Read a command's operand, which comes first, and its flags; raise ValueError(missing) if there is no operand."""
    count = int(bool(arguments) and not arguments[0].startswith("-"))
    options = read_options(default, arguments[count:], command, operand, description)
    if not count:
        raise ValueError(missing)
    return arguments[0], options


def read_flags(default: Options, arguments: Sequence[str]) -> Options:
    """Read flags on top of a dataclass of defaults.

    Raise ValueError for an unknown flag, with the nearest name, and for a wrong value, with the allowed values.
    """
    known, arguments = flags_of(type(default)), each_once(arguments)
    given = split(arguments)
    flags = [(name, ["True"] if known.get(name) is bool and not values else values) for name, values in given]
    words = words_of(flags)
    parse = partial(tyro.cli, type(default), default=default, config=MARKERS)
    if known.keys() >= {name for name, _ in flags}:
        with contextlib.suppress(SystemExit), nothing_printed():
            return parse(args=words)
    for name, values in flags:
        if name not in known:
            raise unknown_flag(name, known)
        # Each flag is parsed alone to find the wrong one; tyro's own messages fill a box and may not name the flag.
        try:
            with nothing_printed():
                parse(args=[name, *values])
        except SystemExit:
            text = " ".join(values)
            raise ValueError(f"{name} {text!r} given; allowed is {allowed_values(known[name], text)}") from None
    with nothing_printed():
        return parse(args=words)


def each_once(arguments: Sequence[str]) -> list[str]:
    """Return the words with only the last occurrence of each flag; print a warning for a flag given twice."""
    last: dict[str, list[str]] = {}
    for name, values in split(arguments):
        if name in last:
            replaced, counts = " ".join(last.pop(name)), " ".join(values)
            print(f"warning: {name} given twice, {replaced!r} and {counts!r}: the last one is used", file=sys.stderr)
        last[name] = values
    return words_of(last.items())


@contextlib.contextmanager
def nothing_printed() -> Iterator[None]:
    """Discard everything that is printed inside this context."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def flags_of(kind: type) -> dict[str, Any]:
    """Return all flags of a dataclass, including those of nested dataclasses, with their types."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if name in {field.name for field in fields(kind)}:
            found |= flags_of(hint) if is_dataclass(hint) else {flag(name): hint}  # type: ignore[arg-type]
    return found


def allowed_values(hint: Any, given: str) -> str:
    """Describe the values that a flag takes, with the nearest choice if there is a list of choices."""
    if get_origin(hint) is Literal:
        choices = [str(choice) for choice in get_args(hint)]
        return f"one of {', '.join(choices)}{did_you_mean(given, choices)}"
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a word", Path: "a path"}
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None) and kind is not Ellipsis]
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    kind = words.get(kinds[0], str(kinds[0]))
    return " or ".join([kind, *choices]) + (", or several" if get_origin(hint) is tuple else "")
