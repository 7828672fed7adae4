"""Watch an episode: a video, MP4 and GIF, of a checkpoint's deterministic policy or of random actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fire_rl.place import program
from fire_rl.training.command_line import read_options
from fire_rl.training.watching import watch

USAGE = f"""{__doc__}

  {program("watch")} RUN                 the newest checkpoint: RUN/video-STEP.mp4 and .gif
  {program("watch")} RUN@STEP            the one at an environment step
  {program("watch")} h1-walk             an environment under random actions: video-h1-walk.mp4 and .gif"""


@dataclass(frozen=True)
class Options:
    """What to film."""

    seed: int = 1_000
    """Seed of the episodes' starts, the same that the evaluate command takes."""
    episodes: int = 1
    """Episodes to choose from."""
    choose: Literal["best", "median"] = "median"
    """Which of the episodes is filmed, by its return."""
    steps: int | None = None
    """Environment steps filmed at most; unset: the whole episode."""
    output: Path | None = None
    """File to write, ending in .mp4 or .gif; a name without such an ending gets both."""
    trust: Path | None = None
    """The run, if its config names an environment or a method of your own: Python code, which is imported then."""


def body(arguments: Sequence[str]) -> int:
    subject = [arguments[0]] if arguments and not arguments[0].startswith("-") else []
    words = arguments[len(subject) :]
    options = read_options(Options(), words, "watch", "RUN[@STEP]|ENVIRONMENT", USAGE)
    if not subject:
        raise ValueError(f"nothing to watch given: {program('watch')} RUN, RUN@STEP or an environment such as h1-walk")
    watch(subject[0], options.seed, options.episodes, options.choose, options.steps, options.output, options.trust)
    return 0
