"""The table of learners: agents of reinforcement learning come from `agents.KINDS`, the others are entered here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any

import msgspec

from fire_rl.agents import KINDS, Kind
from fire_rl.agents.limits import LONGEST_TEXT, check_limits, shown
from fire_rl.envs import AtariSettings
from fire_rl.place import called

from . import language, vision
from .agent_run import AgentRun
from .config import Config
from .durable import Damaged
from .files import CONFIG_BYTES, read_json
from .folder import is_run, not_a_run
from .language import Language, LanguageRun
from .reinforcement import Reinforcement
from .reinforcement_settings import RunSettings
from .settings import DriverSettings, flag
from .vision import Vision, VisionRun
from .work import Work

COUNTS = ("steps", "num_envs", "action_repeat")  # steps are computed with these before all settings are checked


@dataclass(frozen=True)
class Preset:
    """Settings with a name and a description."""

    config: Config
    meaning: str


@dataclass(frozen=True)
class Learner:
    """A learner: its command, its settings, and how its work is built."""

    command: str  # the command that trains it, by its name in `fire_rl.commands`, or the file of a user's own script
    config: type[Config]
    work: Callable[[Any], Work]  # builds the work; raises ValueError in one line if the settings are not possible
    presets: Mapping[str, Preset]  # the first one is used if none is named
    description: str  # for --help-all

    @property
    def script(self) -> str:
        """The command's name in messages."""
        return called(self.command)


def agent_as_learner(name: str, kind: Kind) -> Learner:
    """Return an agent as a learner, with the settings of run and agent, and of Atari games if it learns from frames."""
    groups = [("run", RunSettings), ("agent", kind.settings), *([("atari", AtariSettings)] if kind.frames else [])]
    made = [(group, of, field(default_factory=of)) for group, of in groups]
    names = [each.name for _, of in groups for each in fields(of)]
    if twice := {each for each in names if names.count(each) > 1}:
        raise ValueError(f"two settings of {name} are called {min(twice)!r}")
    namespace = {"kind": kind, "__doc__": "All settings of the run."}
    config: type[Any] = make_dataclass(f"{name.upper()}Run", made, bases=(AgentRun,), namespace=namespace, frozen=True)
    presets = {key: Preset(config().altered(**preset.values), preset.meaning) for key, preset in kind.presets.items()}
    return Learner(name, config, Reinforcement, presets, kind.description)


LEARNERS: dict[str, Learner] = {name: agent_as_learner(name, kind) for name, kind in KINDS.items()}
for _name, _config, _work, _module in (
    ("vision", VisionRun, Vision, vision), ("language", LanguageRun, Language, language)
):  # fmt: skip
    LEARNERS[_name] = Learner(
        _name, _config, _work,
        {key: Preset(config, meaning) for key, (config, meaning) in _module.PRESETS.items()}, _module.DESCRIPTION,
    )  # fmt: skip
SACRun: Any = LEARNERS["sac"].config  # takes the settings of the run and of the agent
DQNRun: Any = LEARNERS["dqn"].config  # also takes the settings of Atari games


def name_of(config: Config) -> str:
    """Return the name of the learner that these settings belong to."""
    return next(name for name, learner in LEARNERS.items() if isinstance(config, learner.config))


def command_name(config: Config) -> str:
    """Return the command of the learner that these settings belong to."""
    return LEARNERS[name_of(config)].command


def build(config: Config) -> Work:
    """Build the work of a run from its settings."""
    return LEARNERS[name_of(config)].work(config)


def config_to_json(config: Config) -> dict[str, Any]:
    """Return the settings as they are stored in `config.json`."""
    return {"algorithm": name_of(config), **config.by_group()}


def config_from_json(value: Mapping[str, Any]) -> Config:
    """Return the settings stored in a run's `config.json`; raise ValueError in one line if they are not valid."""
    if value.get("algorithm") not in LEARNERS:
        named = str(value.get("algorithm"))[:80]
        raise ValueError(f"algorithm {named!r} in the run's config; known are {', '.join(LEARNERS)}")
    kind = LEARNERS[value["algorithm"]].config
    groups = {}
    for group in fields(kind):
        given, hint = value.get(group.name), group.type
        known = {each.name for each in fields(hint)}  # type: ignore[arg-type]  # a dataclass
        if isinstance(given, dict) and (unknown := sorted(set(given) - known)):
            raise ValueError(f"unknown setting {unknown[0][:80]!r} in the config: was it written by another version?")
        try:
            groups[group.name] = msgspec.convert(given, hint)
        except msgspec.ValidationError as error:
            raise ValueError(f"{group.name} of the run's config: {error}") from error
    for text in (text for group in groups.values() for value in vars(group).values() for text in _texts(value)):
        if not text.isprintable() or len(text) > LONGEST_TEXT:
            raise ValueError(f"{text[:80]!r} in the run's config is too long, or cannot be printed")
    return kind(**groups)


def read_config(run: Path) -> Config:
    """Read a run's settings; raise ValueError in one line if the folder is not a run."""
    if not is_run(run):
        raise ValueError(not_a_run(run))
    path = run / "config.json"
    try:
        return read_settings(path)
    except Damaged as error:
        raise ValueError(f"{run} is not a run: it has no readable config.json ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_settings(path: Path) -> Config:
    """Read the settings in a run's `config.json`; raise Damaged or ValueError in one line if they are not valid."""
    config = config_from_json(read_json(path, at_most=CONFIG_BYTES))
    _check_counts(config.run)
    return config


def _check_counts(settings: DriverSettings) -> None:
    """Raise ValueError if a number is out of range that is computed with before all settings are checked."""
    for name in COUNTS:
        if (count := getattr(settings, name, 1)) < 1:
            raise ValueError(f"{flag(name)} {shown(count)} in the run's config; allowed is a number above 0")
    check_limits(settings)


def _texts(value: Any) -> list[str]:
    return [text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)]
