"""Train a network on images that come in phases, with or without a method that restores plasticity."""

from collections.abc import Sequence

from commands.front import main


def train(arguments: Sequence[str]) -> int:
    from training.command_line import read_command_line  # these take seconds to load, and --help does without them
    from training.learners import LEARNERS
    from training.session import run

    return run(read_command_line(arguments, LEARNERS["vision"]))


if __name__ == "__main__":
    main("vision", train)
