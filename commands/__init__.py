"""The table of commands: `fire-rl sac ...` if fire-rl is installed, `python train_sac.py ...` in a checkout."""

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

from .pages import show_page

NEEDED = {  # import names of the packages of the extra `train`; an unfinished set-up may lack some of them
    *("numpy", "torch", "typing_extensions"),
    *("filelock", "fsspec", "gymnasium", "jinja2", "matplotlib", "msgspec", "mujoco", "PIL", "rich"),
    *("robosuite_models", "safetensors", "tensorboard", "tqdm", "tyro", "yaml"),
}


@dataclass(frozen=True)
class Command:
    """The module and function of a command, and what the command is for."""

    module: str
    body: str
    meaning: str
    first: tuple[str, ...] = ()  # arguments of the body that precede the words of the command line


COMMANDS = {
    "sac": Command("train", "train", "train soft actor-critic on a continuous task", ("sac",)),
    "dqn": Command("train", "train", "train DQN on Atari, MinAtar or any task with discrete actions", ("dqn",)),
    "vision": Command("train", "train", "train a network on images that come in phases", ("vision",)),
    "language": Command("train", "train", "train a language model on texts that come in phases", ("language",)),
    "compare": Command("compare", "body", "compare methods over seeds and tasks, with a report"),
    "evaluate": Command("evaluate", "body", "measure the mean return of a run's policy over many episodes"),
    "diagnose": Command("diagnose", "body", "measure whether a run's networks can still learn, and what restores it"),
    "watch": Command("watch", "body", "film an episode of a run, or of an environment"),
    "export": Command("export", "body", "write a run's policy as ONNX, TorchScript, safetensors, or a card"),
    "slim": Command("slim", "body", "free the disk space that finished runs take"),
}


def main() -> NoReturn:
    """Run `fire-rl COMMAND ...`: the first word names the command, which gets the other words."""
    name = (sys.argv[1] if len(sys.argv) > 1 else "help").lower().removeprefix("train_").removesuffix(".py")
    if name in ("-h", "--help", "help", "--version"):
        print(f"fire-rl {__version__}" if name == "--version" else usage())
        raise SystemExit(0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)  # not by `did_you_mean`, whose import would load torch
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"fire-rl: {name[:80]!r} given; allowed is one of {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        raise SystemExit(2)
    run(name, sys.argv[2:])


def usage() -> str:
    """Return the list of commands, with two examples."""
    lines = [f"  {name:10} {command.meaning}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: fire-rl COMMAND ...        (fire-rl COMMAND --help shows its flags)",
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
        sys.path.append(str(Path.cwd()))  # users keep their own methods and environments there
    try:
        from fire_rl.training.command_line import main as run_body

        body: Callable[..., int] = getattr(import_module(f"fire_rl.commands.{command.module}"), command.body)
    except ModuleNotFoundError as error:
        print(f"{called(name)}: {missing(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"{called(name)}: stopped; give the same command to start again", file=sys.stderr)
        raise SystemExit(130) from None
    run_body(partial(body, *command.first), called(name), words)


def missing(error: ModuleNotFoundError) -> str:
    """Return how to install the missing package; raise the error again if the package is not one of NEEDED."""
    package = (error.name or "").partition(".")[0]
    if package not in NEEDED:
        raise error
    if not IN_A_CHECKOUT:
        return f"{package} is not installed: {install('train')}"
    activate = "source .venv/bin/activate, or " if (ROOT / ".venv").exists() else ""
    return f"{package} is not installed for {sys.executable}: {activate}make setup"
