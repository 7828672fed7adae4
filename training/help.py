"""The texts that --help-all, --list-envs and --list-methods print, made only when they are asked for."""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fire_rl.fire import MEASURES, METHODS, REGULARIZERS, describe_method, describe_methods, describe_regularizers
from fire_rl.fire.nearest import choices

from .config import Config
from .learners import Learner
from .other_script import names_to_learn_from
from .settings import flag
from .spoken import OTHER_NAMES, as_known

WIDTH, MARGIN = 110, 6
TOPICS = {
    "What is learned from, and how long": (
        "preset config env data data_dir task first_share first_epochs epochs phases images phase_updates holdout "
        "label_noise augment context batch_size steps seed"
    ),
    "Methods, and when they act": (
        "reinit reinit_every reinit_from reinit_at reinit_when reinit_cooldown regularize refresh_statistics"
    ),
    "Environments and replay": "num_envs action_repeat replay_ratio replay_capacity learning_starts",
    "The learner": "",  # the fields of the settings group `agent`
    "Atari games": "",  # the fields of the settings group `atari`
    "Evaluation": (
        "eval_every eval_episodes eval_steps eval_sequences eval_at_once eval_training_images "
        "evaluation_exploration video"
    ),
    "The folder, and what is written": (
        "run_dir log_every measure_every measure_hessian trainability_every checkpoint_every checkpoint_at keep_replay"
    ),
    "Trackers": "track track_project track_group track_tags",
    "Going on, and branching": "resume branch_from trust restart",
    "The machine": "device threads precision capture compile at_once",
    "Others": "",
}
OF_GROUPS = {"agent": "The learner", "atari": "Atari games"}
TYPES = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: "True|False"}


def describe(learner: Learner, config: Config, where: Any) -> str:
    """Return the text of --help-all: what can be chosen, then every flag, grouped by topic."""
    presets = "\n".join(f"{name}: {preset.meaning}" for name, preset in learner.presets.items())
    measures = "\n".join(f"{name}: {meaning}" for name, meaning in MEASURES.items())
    regularizers = describe_regularizers(config.published)
    lists = {
        "Values of --preset; the first is the default": presets,
        **config.choices(),
        "Methods of --reinit, as METHOD or METHOD:field=value,...": describe_methods(config.published),
        "Regularizers of --regularize, one or several, as NAME or NAME:field=value,...": regularizers,
        "Measures, every --measure-every updates, of each network; for --reinit-when": measures,
    }
    parts = [f"{title}\n{textwrap.indent(lines, '  ')}" for title, lines in lists.items()]
    groups = {"where": where} | {each.name: getattr(config, each.name) for each in fields(config)}
    return "\n\n".join((_usage(learner.script), learner.description, *parts, *_topics(groups, TOPICS)))


def describe_options(
    command: str, description: str, options: Any, topics: Mapping[str, str] = {"Flags": ""}, more: str = ""
) -> str:
    """Return the same text for a command with its own flags.

    `topics` maps each title to the names of its fields; fields that no topic names are listed under the last topic.
    """
    return "\n\n".join((_usage(command), description, *_topics({"": options}, topics), *([more] if more else [])))


def _usage(command: str) -> str:
    return f"usage: {command} [--FLAG VALUE ...]    defaults in brackets"


def _topics(groups: Mapping[str, Any], topics: Mapping[str, str]) -> list[str]:
    """Return the flags under their topics: the topic that names a flag, else that of its group, else the last."""
    found: dict[str, list[str]] = {topic: [] for topic in topics}
    place = {name: topic for topic, names in topics.items() for name in names.split()}
    for name, group in groups.items():
        for each in fields(group):
            topic = place.get(each.name, OF_GROUPS.get(name, list(topics)[-1]))
            found[topic].append(_entry(type(group), each.name, getattr(group, each.name)))
    return [f"{topic}\n" + "\n".join(entries) for topic, entries in found.items() if entries]


def _entry(kind: type, name: str, value: Any) -> str:
    """Return the lines about one flag: how it is written, its default and its meaning."""
    meaning = " ".join(meanings(kind).get(name, "").split())
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
    default = "unset" if shown is None or shown == "" else f"{shown:,}" if type(shown) is int else str(shown)
    head = f"  {flag(name)} {_how(get_type_hints(kind)[name])}  [{default}]"
    return head + "\n" + textwrap.fill(meaning, WIDTH, initial_indent=" " * MARGIN, subsequent_indent=" " * MARGIN)


def _how(hint: Any) -> str:
    """Return how a flag's value is written: N, X, TEXT or the allowed names."""
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind not in (NoneType, Ellipsis)]
    several = " ..." if get_origin(hint) is tuple else ""
    return "|".join(_how(kind) if get_args(kind) else TYPES.get(kind, "VALUE") for kind in kinds) + several


@cache
def meanings(kind: type) -> dict[str, str]:
    """Return the text that the source has below each field of a dataclass and of its base classes."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, str):
                found[field.target.id] = said
    return found


def list_envs(learner: Learner, config: Config) -> str:
    """Return the text of --list-envs: the environments or data sets that can be named, by kind."""
    names = [
        f"{title}\n" + textwrap.fill(", ".join(found), 78, initial_indent="  ", subsequent_indent="  ",
                                     break_on_hyphens=False, break_long_words=False)
        for title, found in names_to_learn_from(config).items()
    ]  # fmt: skip
    subject = flag(config.subject)
    head = f"What {learner.script} learns from, by {subject} NAME, in any case"
    choices = {title: lines for title, lines in config.choices().items() if subject in title} or config.choices()
    others = [] if names else [f"{title}\n{textwrap.indent(lines, '  ')}" for title, lines in choices.items()]
    more = "And module:ID: your own task, which importing the module registers with Gymnasium."
    return "\n\n".join((head, *names, *others, *([more] if names else [])))


def list_methods() -> str:
    """Return the text of --list-methods: a line for each method and regularizer."""
    lines = []
    for title, kinds in (("Methods of --reinit", METHODS), ("Regularizers of --regularize", REGULARIZERS)):
        lines.append(title)
        lines += [f"  {name:15} {(inspect.getdoc(kind) or '').splitlines()[0]}" for name, kind in kinds.items()]
        lines.append("")
    return "\n".join((*lines, "--list-methods NAME: its equation, source and fields. module:Class is your own method."))


def one_method(config: Config, words: Sequence[str]) -> str:
    """Return the description of one method, with its fields and their defaults for this learner."""
    name, known = " ".join(words), {**METHODS, **REGULARIZERS}
    name = as_known(name, known, OTHER_NAMES)
    if name not in known:
        raise ValueError(f"--list-methods {name[:80]!r} given; known are {choices(name, known)}")
    return describe_method(name, config.published)
