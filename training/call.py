"""Train one run from Python: the settings of the command line as keywords, the result as a value."""

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from fire_rl.agents.limits import flag, setting_named
from fire_rl.fire.nearest import did_you_mean

from .command_line import command_line, flags_of, nothing_printed, read_command_line
from .learners import LEARNERS
from .result import Result
from .session import carry_out

Value = str | int | float | bool | Path | None | Sequence[str | int | float]


def run(
    learner: str, *, on_evaluation: Callable[[int, float], object] | None = None, quiet: bool = False,
    **settings: Value,
) -> Result:  # fmt: skip
    """Train one run as its script does, and return its result.

    `learner` is sac, dqn, vision or language. Settings are those that the script's --help lists, including run_dir,
    preset, resume and branch_from. They have the same names, with _ for -, and the same values: `reinit="fire"`,
    `learning_rate=1e-4`, `reinit_at=(5_000, 10_000)`. A setting that is None is left out. A wrong name or value raises
    ValueError with a message of one line.

    `on_evaluation` is called with the step and the value of each scheduled evaluation. If it returns a true value, the
    run stops with a checkpoint, and `resume` continues it. With `quiet`, nothing is printed.

    In the main thread, Ctrl-C and SIGTERM stop the run with a checkpoint too; `Result.stopped` says why it stopped.
    """
    if learner not in LEARNERS:
        meant = did_you_mean(str(learner), LEARNERS)
        raise ValueError(f"learner {learner!r} given; allowed is one of {', '.join(LEARNERS)}{meant}")
    threads = torch.get_num_threads()
    with nothing_printed() if quiet else nullcontext():
        try:
            return carry_out(read_command_line(words_of(learner, settings), LEARNERS[learner]), on_evaluation)
        finally:
            torch.set_num_threads(threads)


def words_of(learner: str, settings: dict[str, Value]) -> list[str]:
    """Turn keywords into the words of a command line."""
    known = {*map(setting_named, flags_of(command_line(LEARNERS[learner].config)))}
    words: list[str] = []
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"unknown setting {name!r}{did_you_mean(name, [*known, 'on_evaluation', 'quiet'])}")
        if value is None:
            continue
        several = [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
        if wrong := [each for each in several if re.match(r"--|-[a-zA-Z]", each) and each.lower() != "-inf"]:
            raise ValueError(f"{name}={wrong[0]!r} given; no value begins with -- or with - and a letter")
        words += [f"{flag(name)}={several[0]}"] if len(several) == 1 else [flag(name), *several]
    return words
