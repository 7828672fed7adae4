"""--config FILE: settings from YAML, or from a run's `config.json`. Flags on the command line override both."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from .asked import HELP, split, words_of
from .config import Config
from .durable import Damaged
from .files import CONFIG_BYTES, read_json
from .folder import is_folder
from .learners import LEARNERS, name_of, read_config, read_settings
from .settings import flag
from .trust import code_named, refuse_code, trusted
from .unresolved import unresolved
from .yaml_file import read_yaml

OF_THE_COMMAND = ("--config", "--resume", "--branch-from", "--run-dir", "--trust", "--restart")
OF_A_COMPARISON = ("--config", "--dir", "--ray", "--upload", "--retry", "--dry-run", "--report-only", "--against")


def is_of_a_run(path: Path) -> bool:
    """Whether a path is a run's folder or the `config.json` of a run, and not settings in YAML."""
    if is_folder(path):
        return True
    if path.suffix != ".json":
        return False
    try:
        return "algorithm" in read_json(path, at_most=CONFIG_BYTES)
    except Damaged:
        return False  # read as YAML then, whose reader says what is wrong


def config_of_run(path: Path, kind: type[Config], given: Collection[str], trust: Path | None) -> Config:
    """Return the settings that a run was given; those that were derived from the run's length are derived again."""
    try:
        config = read_config(path) if is_folder(path) else read_settings(path)
    except (Damaged, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(config, kind):
        raise ValueError(f"--config {path} given; that is a run of {LEARNERS[name_of(config)].script}")
    usual = type(config)().by_name()  # type: ignore[call-arg]  # all groups of a learner's config have defaults
    # Settings that the command line overrides need no trust: they are replaced before code is refused.
    config = config.altered(**{name: usual[name] for name in code_named(config).keys() & {*given}})
    refuse_code(config, path, (), trusted(path, trust))
    return unresolved(config)


def words_of_file(
    path: Path, understood: Callable[[list[str]], list[str]], refused: Collection[str] = OF_THE_COMMAND
) -> dict[str, list[str]]:
    """Return the settings of a YAML file as flags with their values, in our own spelling."""
    words: list[str] = []
    for name, value in read_yaml(path).items():
        given = flag(name)
        values = ["None"] if value is None else [value] if isinstance(value, str) else value
        if given in HELP or not name.replace("_", "").replace("-", "").isalnum() or name.startswith("-"):
            raise ValueError(f"{path}: {name!r} is not the name of a setting")
        for each in values:
            if each.startswith("--") or (each[:1] == "-" and each[1:2].isalpha()) or not each.isprintable():
                raise ValueError(f"{path}: {name} cannot be {each[:80]!r}")
        words += [given, *values]
    parts = split(understood(words))
    found, meant = dict(parts), [name for name, _ in parts]
    if twice := [name for name in meant if meant.count(name) > 1]:
        raise ValueError(f"{path}: {twice[0]} is given twice, under two names")
    if alone := sorted(found.keys() & {*refused}):
        raise ValueError(f"{path}: {alone[0]} can be given only on the command line")
    return found


def without(words: Mapping[str, list[str]], given: Collection[str]) -> list[str]:
    """Return the words of all flags that are not in `given`."""
    return words_of((name, values) for name, values in words.items() if name not in given)
