"""A script's --help, shown at once: nothing is imported for it that learns, simulates or draws."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .pages import PAGES

ASKED = {"-h", "--help"}


def main(name: str, body: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a script's body, whose own imports come after this."""
    show_page(name)
    from training.command_line import main

    main(body)


def show_page(name: str) -> None:
    """Print the page and end where the command line asks for it; a reader that leaves is no fault."""
    if not ASKED & set(sys.argv[1:]):
        return
    try:
        print(PAGES[name])
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
