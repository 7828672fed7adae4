"""Film an episode as MP4 and GIF, with a checkpoint's deterministic policy or with random actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fire_rl.place import program
from fire_rl.training.command_line import read_operand
from fire_rl.training.watching import watch

USAGE = f"""{__doc__}

  {program("watch")} RUN                 the newest checkpoint: RUN/video-STEP.mp4 and .gif
  {program("watch")} RUN@STEP            the checkpoint at this environment step
  {program("watch")} h1-walk             an environment with random actions: video-h1-walk.mp4 and .gif"""


@dataclass(frozen=True)
class Options:
    """What to film."""

    seed: int = 1_000
    """Seed of the episodes' starts, as for the evaluate command."""
    episodes: int = 1
    """Number of episodes from which one is chosen."""
    choose: Literal["best", "median"] = "median"
    """Film the episode with the best or the median return."""
    steps: int | None = None
    """Largest number of environment steps to film; unset: the whole episode."""
    output: Path | None = None
    """File to write, ending in .mp4 or .gif; without such an ending both files are written."""
    trust: Path | None = None
    """The run, if its config names your own environment or method: gives permission to import that Python code."""


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    missing = f"nothing to watch given: {program('watch')} RUN, RUN@STEP or an environment such as h1-walk"
    subject, options = read_operand(Options(), arguments, "watch", "RUN[@STEP]|ENVIRONMENT", USAGE, missing)
    watch(subject, options.seed, options.episodes, options.choose, options.steps, options.output, options.trust)
    return 0
