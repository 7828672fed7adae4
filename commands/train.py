"""Train one run: what is learned is chosen by the command, `sac`, `dqn`, `vision` or `language`."""

from collections.abc import Sequence
from functools import partial

from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS
from fire_rl.training.session import run

NOT_BEGUN = "stopped before the first step; the same command begins again"


def train(learner: str, arguments: Sequence[str]) -> int:
    try:
        return run(read_command_line(arguments, LEARNERS[learner]))
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or NOT_BEGUN) from None


train_sac = partial(train, "sac")
train_dqn = partial(train, "dqn")
train_vision = partial(train, "vision")
train_language = partial(train, "language")
