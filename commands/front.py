"""A command's --help, shown at once: nothing is imported for it that learns, simulates or draws."""

import contextlib
import os
import sys
from typing import NoReturn

from fire_rl.place import called, program, script

from .pages import PAGES


def page(name: str) -> str:
    """The page as the command is called here."""
    return PAGES[name].replace(f"python {script(name)}", program(name)).replace(script(name), called(name))


def show_page(name: str) -> NoReturn:
    """Print the page and end; a reader that leaves is no fault."""
    try:
        print(page(name))
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
