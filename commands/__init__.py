"""The commands, one table: `fire-rl sac ...` where fire-rl is installed, `python train_sac.py ...` in a checkout."""

import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from fire_rl import __version__
from fire_rl.place import IN_A_CHECKOUT, ROOT, called, install

from .front import show_page

NEEDED = {  # what the extra `train` installs, by the names that Python imports, and what a half-made set-up lacks
    *("numpy", "torch", "typing_extensions"),
    *("filelock", "fsspec", "gymnasium", "jinja2", "matplotlib", "msgspec", "mujoco", "PIL", "rich"),
    *("robosuite_models", "safetensors", "tensorboard", "tqdm", "tyro", "yaml"),
}


@dataclass(frozen=True)
class Command:
    """Where a command's body is, and what it is for."""

    module: str
    body: str
    meaning: str
    first: tuple[str, ...] = ()  # what the body is given before the words of the command line


COMMANDS = {
    "sac": Command("train", "train", "train soft actor-critic on a continuous task", ("sac",)),
    "dqn": Command("train", "train", "train DQN on Atari, MinAtar or any task with countable actions", ("dqn",)),
    "vision": Command("train", "train", "train a network on images that come in phases", ("vision",)),
    "language": Command("train", "train", "train a language model on texts that come in phases", ("language",)),
    "compare": Command("compare", "body", "compare methods over seeds and tasks, with a report"),
    "evaluate": Command("evaluate", "body", "measure a run's policy over many episodes"),
    "diagnose": Command("diagnose", "body", "examine whether a run still learns, and what gives that back"),
    "watch": Command("watch", "body", "film an episode of a run, or of an environment"),
    "export": Command("export", "body", "write a run's policy as ONNX, TorchScript, safetensors, or a card"),
    "slim": Command("slim", "body", "free the disk space that finished runs take"),
}


def main() -> NoReturn:
    """`fire-rl COMMAND ...`: the first word says which command, the others are the command's own."""
    name = (sys.argv[1] if len(sys.argv) > 1 else "help").lower().removeprefix("train_").removesuffix(".py")
    if name in ("-h", "--help", "help", "--version"):
        print(f"fire-rl {__version__}" if name == "--version" else usage())
        raise SystemExit(0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)  # without `did_you_mean`, for which torch would be loaded
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"fire-rl: {name[:80]!r} given; allowed is one of {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        raise SystemExit(2)
    run(name, sys.argv[2:])


def usage() -> str:
    lines = [f"  {name:10} {command.meaning}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: fire-rl COMMAND ...        (fire-rl COMMAND --help says what each takes)",
            "",
            *lines,
            "",
            "  fire-rl sac --env h1-walk --reinit fire --preset quick",
            "  fire-rl compare --agent sac --env h1-walk --reinit none reset fire --seeds 0-4 --branch-at 0.5",
        )
    )


def run(name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code."""
    command, words = COMMANDS[name], list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        show_page(name)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where people keep the method or environment that they name
    try:
        from fire_rl.training.command_line import main as run_body

        body: Callable[..., int] = getattr(import_module(f"fire_rl.commands.{command.module}"), command.body)
    except ModuleNotFoundError as error:
        print(f"{called(name)}: {missing(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"{called(name)}: stopped; the same command begins again", file=sys.stderr)
        raise SystemExit(130) from None
    run_body(partial(body, *command.first), called(name), words)


def missing(error: ModuleNotFoundError) -> str:
    """The command that installs what is not there; the error itself where it is our own fault."""
    package = (error.name or "").partition(".")[0]
    if package not in NEEDED:
        raise error
    if not IN_A_CHECKOUT:
        return f"{package} is not installed: {install('train')}"
    activate = "source .venv/bin/activate, or " if (ROOT / ".venv").exists() else ""
    return f"{package} is not installed for {sys.executable}: {activate}make setup"
