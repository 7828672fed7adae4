"""What another script learns from: `train_sac.py --env Breakout` is told of train_dqn.py, before anything is built."""

from collections.abc import Mapping

from data import IMAGE_SETS
from data.text import TEXT_SETS
from envs import is_atari, names
from envs.known_names import NATIVE, native_name
from envs.minatar import PREFIX as MINATAR
from envs.original import PREFIX as ORIGINAL
from envs.suite import PREFIX as SUITE

from .config import Config
from .learners import LEARNERS, Learner, name_of
from .settings import flag

CONTINUOUS = ("Pendulum", "MountainCarContinuous", "LunarLanderContinuous", "BipedalWalker")
COUNTABLE = ("CartPole", "Acrobot", "MountainCar-", "LunarLander-")
MUJOCO = (
    "Ant", "HalfCheetah", "Hopper", "Humanoid", "InvertedDoublePendulum", "InvertedPendulum", "Pusher", "Reacher",
    "Swimmer", "Walker2d",
)  # fmt: skip


def kind_of(name: str) -> tuple[str, str] | None:
    """What a name is called by, in words, and the learner that it is for; None where it does not say that."""
    if name in IMAGE_SETS:
        return "a set of images", "vision"
    if name in TEXT_SETS:
        return "a set of texts", "language"
    if is_atari(name):
        return "an Atari game", "dqn"
    if name.startswith(MINATAR):
        return "a MinAtar game", "dqn"
    if native_name(name) in NATIVE or name.startswith((SUITE, ORIGINAL, *MUJOCO, *CONTINUOUS)):
        return "a task with continuous actions", "sac"
    if name.startswith(COUNTABLE):
        return "a task with countable actions", "dqn"
    return None


def refuse_other_script(learner: Learner, config: Config) -> None:
    """Raise ValueError, in one line, where what is to be learned from is for another learner."""
    ours, name, found = name_of(config), config.run.env, kind_of(config.run.env)
    if found is None or found[1] == ours or (ours == "language" and "+" in name):
        return
    what, theirs = found
    other = LEARNERS[theirs]
    word = flag(other.config.subject)
    raise ValueError(
        f"{name} is {what}, and {learner.script} does not learn from these: use {other.script} {word} {name} "
        f"(compare.py: --agent {theirs})"
    )


def learned_from(config: Config) -> Mapping[str, list[str]]:
    """The names that a learner learns from, by what they are; Gymnasium has more in modules of others."""
    if config.subject == "data":
        return {}
    ours = name_of(config)
    found: dict[str, list[str]] = {}
    for name in names():
        kind = kind_of(name)
        if kind is not None and kind[1] == ours:
            found.setdefault(_family(name, kind[0]), []).append(name)
    return found


def _family(name: str, what: str) -> str:
    if native_name(name) in NATIVE:
        return "HumanoidBench's tasks of the H1, native"
    if name.startswith(SUITE):
        return "DeepMind Control suite"
    return {"an Atari game": "Atari", "a MinAtar game": "MinAtar"}.get(what, "Gymnasium")
