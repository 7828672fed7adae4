"""Train one run of the learner that the command names: `sac`, `dqn`, `vision` or `language`."""

from collections.abc import Sequence
from functools import partial

from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS
from fire_rl.training.session import run


def train(learner: str, arguments: Sequence[str]) -> int:
    """Train one run by the words of a command line; return the exit code."""
    return run(read_command_line(arguments, LEARNERS[learner]))


train_sac = partial(train, "sac")
train_dqn = partial(train, "dqn")
train_vision = partial(train, "vision")
train_language = partial(train, "language")
