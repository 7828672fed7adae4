"""Train soft actor-critic on a continuous task, with or without a method that restores plasticity."""

from collections.abc import Sequence

from commands.front import main


def train(arguments: Sequence[str]) -> int:
    from training.command_line import read_command_line  # these take seconds to load, and --help does without them
    from training.learners import LEARNERS
    from training.session import run

    return run(read_command_line(arguments, LEARNERS["sac"]))


if __name__ == "__main__":
    main("sac", train)
