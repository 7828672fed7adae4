"""Watch an episode: a video, MP4 and GIF, of a checkpoint's deterministic policy or of random actions."""

from commands.front import show_page

if __name__ == "__main__":
    show_page("watch")  # before what takes seconds to load


from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.command_line import main, read_options
from training.watching import watch

# Indented, since --help joins lines that begin at the margin.
USAGE = """
  python watch.py RUN                 the newest checkpoint: RUN/video-STEP.mp4 and .gif
  python watch.py RUN@STEP            the one at an environment step
  python watch.py h1-walk             an environment under random actions: video-h1-walk.mp4 and .gif
"""


@dataclass(frozen=True)
class Options:
    """What to film."""

    seed: int = 1_000
    """Seed of the episodes' starts, the same that evaluate.py takes."""
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
    options = read_options(
        Options(), arguments[len(subject) :], "watch.py RUN[@STEP]|ENVIRONMENT", f"{__doc__}\n{USAGE}"
    )
    if not subject:
        raise ValueError("nothing to watch given: python watch.py RUN, RUN@STEP or an environment such as h1-walk")
    watch(subject[0], options.seed, options.episodes, options.choose, options.steps, options.output, options.trust)
    return 0


if __name__ == "__main__":
    main(body)
