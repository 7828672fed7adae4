"""Where fire-rl is, a checkout or an installed package, and how its commands are called there."""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the folder that the package was installed into
IN_A_CHECKOUT = not (Path(__file__).parent / "fire").is_dir()
TRAINING = ("sac", "dqn", "vision", "language")


def script(command: str) -> str:
    """The file at the top of a checkout that is this command; a learner of one's own names its file itself."""
    if command.endswith(".py"):
        return command
    return f"train_{command}.py" if command in TRAINING else f"{command}.py"


def program(command: str) -> str:
    """What the user types for a command: `python train_sac.py`, or `fire-rl sac` where it is installed."""
    name = called(command)
    return f"python {name}" if name.endswith(".py") else name


def called(command: str) -> str:
    """A command as its own messages name it: `train_sac.py`, or `fire-rl sac`; somebody's own script by its file."""
    return script(command) if IN_A_CHECKOUT or command.endswith(".py") else f"fire-rl {command}"


def typed(command: str, *words: object) -> str:
    """A command line that the user can copy."""
    return f"{program(command)} {shlex.join(map(str, words))}".rstrip()


def launch(command: str) -> list[str]:
    """The words that start a command in a process of its own, from whichever folder."""
    return [sys.executable, "-u", *([str(ROOT / script(command))] if IN_A_CHECKOUT else ["-m", "fire_rl", command])]
