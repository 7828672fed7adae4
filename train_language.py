"""Train a language model on texts that come in phases, with or without a method that restores plasticity."""

from collections.abc import Sequence

from training.command_line import main, read_command_line
from training.learners import LEARNERS
from training.session import run


def train(arguments: Sequence[str]) -> int:
    return run(read_command_line(arguments, LEARNERS["language"]))


if __name__ == "__main__":
    main(train)
