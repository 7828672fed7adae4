"""Show a command's --help page at once, without importing torch or any other slow package."""

import contextlib
import os
import sys
from typing import NoReturn

from fire_rl.place import called, program, script

from .pages import PAGES


def page(name: str) -> str:
    """Return a command's page, with the command's name as it is typed in this installation."""
    return PAGES[name].replace(f"python {script(name)}", program(name)).replace(script(name), called(name))


def show_page(name: str) -> NoReturn:
    """Print the page and end the process with exit code 0, also if the reader closes the pipe early."""
    try:
        print(page(name))
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
