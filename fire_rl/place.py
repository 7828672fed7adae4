"""Whether fire-rl runs from a checkout or installed: how its commands are written, what installs its extras, and which
versions of packages it runs with."""

import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the folder that the package was installed into
IN_A_CHECKOUT = not (Path(__file__).parent / "fire").is_dir()
TRAINING = ("sac", "dqn", "vision", "language")
OF_DEVELOPERS = ("ray", "track")  # extras that `make setup` leaves to `make setup-dev`


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
    """Return a command line that the user can copy; outside the checkout, it names the script by its path."""
    if IN_A_CHECKOUT and not command.endswith(".py") and Path.cwd() != ROOT:
        return shlex.join(["python", str(ROOT / script(command)), *map(str, words)])
    return recorded(command, *words)


def recorded(command: str, *words: object) -> str:
    """Return a command line for a record, such as a report, which may be read on another machine."""
    return f"{program(command)} {shlex.join(map(str, words))}".rstrip()


def launch(command: str) -> list[str]:
    """Return the arguments that start a command as a separate process, from any folder.

    With -P, files in that folder shadow no module. The command itself adds the folder last, for the user's own code.
    """
    return [
        sys.executable,
        "-u",
        *([str(ROOT / script(command))] if IN_A_CHECKOUT else ["-P", "-m", "fire_rl", command]),
    ]


def install(extra: str) -> str:
    """What the user types to install an extra, for the message that a package of it is missing."""
    # The extra leaves dm_control out on 3.13, where its dependency labmaze, which is never imported, has no wheel.
    apart = " && pip install --no-deps dm_control" if extra == "dmc" and sys.version_info >= (3, 13) else ""
    if not IN_A_CHECKOUT:
        return f"pip install 'fire-rl[{extra}]'{apart}"
    setup = "make setup-dev" if extra in OF_DEVELOPERS else "make setup"
    return f"{setup}, or pip install -e '.[{extra}]'{apart} in the checkout"


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the named packages that are installed."""
    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
