"""Refuse an environment or data set that another script is for: `train_sac.py --env Breakout` names train_dqn.py."""

import re
from collections.abc import Mapping
from importlib.util import find_spec

from fire_rl.data import IMAGE_SETS
from fire_rl.data.text import TEXT_SETS
from fire_rl.envs import is_atari, names
from fire_rl.envs.atari_names import game_of
from fire_rl.envs.known_names import NATIVE, native_name
from fire_rl.envs.minatar import PREFIX as MINATAR
from fire_rl.envs.original import PREFIX as ORIGINAL
from fire_rl.envs.suite import PREFIX as SUITE
from fire_rl.place import called

from .agent_run import AgentRun
from .config import Config
from .language import LanguageRun
from .learners import LEARNERS, Learner
from .settings import flag
from .vision import VisionRun

CONTINUOUS, DISCRETE, IMAGES, TEXTS = "continuous", "discrete", "images", "texts"
EVERYTHING = frozenset({CONTINUOUS, DISCRETE, IMAGES, TEXTS})
BOX2D = ("LunarLander", "BipedalWalker")
STARTS = {  # how the ids of Gymnasium's own environments begin
    CONTINUOUS: (
        "Pendulum", "MountainCarContinuous", "LunarLanderContinuous", "BipedalWalker", "Ant-", "HalfCheetah", "Hopper",
        "Humanoid", "InvertedDoublePendulum", "InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d",
    ),
    DISCRETE: ("CartPole", "Acrobot", "MountainCar-", "LunarLander-"),
}  # fmt: skip


def kind_of(name: str) -> tuple[str, str] | None:
    """Return what a name stands for in words, and the kind of it; None if the name alone does not tell."""
    if name in IMAGE_SETS:
        return "a set of images", IMAGES
    if name in TEXT_SETS:
        return "a set of texts", TEXTS
    if is_atari(name) or (game_of(name) is not None and name not in names()):
        return "an Atari game", DISCRETE
    if name.startswith(MINATAR):
        return "a MinAtar game", DISCRETE
    if native_name(name) in NATIVE or name.startswith((SUITE, ORIGINAL)):
        return "a task with continuous actions", CONTINUOUS
    of_gymnasium = next((kind for kind, starts in STARTS.items() if name.startswith(starts)), None)
    return (f"a task with {of_gymnasium} actions", of_gymnasium) if of_gymnasium else None


def learns_from(kind: type[Config]) -> frozenset[str]:
    """Return the kinds of environments or data that a learner can learn from; all if that is not known."""
    if issubclass(kind, AgentRun):
        return frozenset({CONTINUOUS, DISCRETE} if kind.kind.actions == "any" else {kind.kind.actions})
    return frozenset({IMAGES} if kind is VisionRun else {TEXTS} if kind is LanguageRun else EVERYTHING)


def refuse_other_script(learner: Learner, config: Config) -> None:
    """Raise ValueError in one line if the environment or the data set is for another learner."""
    name, found = config.run.env, kind_of(config.run.env)
    if found is None or found[1] in learns_from(type(config)):
        return
    what, theirs = found
    agent, other = next((key, each) for key, each in LEARNERS.items() if learns_from(each.config) == {theirs})
    word, name = flag(other.config.subject), game_of(name) or name
    raise ValueError(
        f"{name} is {what}, and {learner.script} does not learn from these: use {other.script} {word} {name} "
        f"({called('compare')}: --agent {agent})"
    )


def names_to_learn_from(config: Config) -> Mapping[str, list[str]]:
    """Return the names of the environments that a learner can learn from, by family; none if it learns from data."""
    ours, found = learns_from(type(config)), dict[str, list[str]]()
    for name in names() if config.subject == "env" else ():
        kind = kind_of(name)
        if kind is not None and kind[1] in ours and (find_spec("Box2D") or not name.startswith(BOX2D)):
            found.setdefault(_family(name, kind[0]), []).append(name)
    if "Gymnasium" in found:
        newest = {re.sub(r"-v\d+$", "", name): name for name in found["Gymnasium"]}  # versions are in ascending order
        found["Gymnasium"] = list(newest.values())
    return found


def _family(name: str, what: str) -> str:
    if native_name(name) in NATIVE:
        return "HumanoidBench's tasks of the H1, native"
    if name.startswith(SUITE):
        return "DeepMind Control suite"
    return {"an Atari game": "Atari", "a MinAtar game": "MinAtar"}.get(what, "Gymnasium")
