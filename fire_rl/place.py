"""Whether fire-rl runs from a checkout or an installed package, and how its commands are written in each case."""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the folder that the package was installed into
IN_A_CHECKOUT = not (Path(__file__).parent / "fire").is_dir()
TRAINING = ("sac", "dqn", "vision", "language")


def script(command: str) -> str:
    """Return the script of a command at the top of a checkout; a user's own learner is already given by its file."""
    if command.endswith(".py"):
        return command
    return f"train_{command}.py" if command in TRAINING else f"{command}.py"


def program(command: str) -> str:
    """Return what the user types for a command: `python train_sac.py`, or `fire-rl sac` if it is installed."""
    name = called(command)
    return f"python {name}" if name.endswith(".py") else name


def called(command: str) -> str:
    """Return a command's name in messages: `train_sac.py`, or `fire-rl sac`; for a user's own script its file."""
    return script(command) if IN_A_CHECKOUT or command.endswith(".py") else f"fire-rl {command}"


def typed(command: str, *words: object) -> str:
    """Return a command line that the user can copy."""
    return f"{program(command)} {shlex.join(map(str, words))}".rstrip()


def launch(command: str) -> list[str]:
    """Return the arguments that start a command as a separate process, from any folder."""
    return [sys.executable, "-u", *([str(ROOT / script(command))] if IN_A_CHECKOUT else ["-m", "fire_rl", command])]
