"""The package fire_rl: `from fire_rl import fire_` gives the public names of `fire_rl.fire`; the other parts are
`fire_rl.agents`, `fire_rl.envs` and so on.

All code imports another part by its full name, such as `from fire_rl.envs import make`, both in a checkout and in an
installed wheel. The wheel holds the parts inside this package (`setup.py` maps the folders `agents/`, `envs/`, ... to
`fire_rl.agents`, `fire_rl.envs`, ...). In a checkout the parts are the folders next to this one, and one line below
adds the checkout to this package's search path, `__path__`. Nothing is copied, and no import is intercepted.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if not (Path(__file__).parent / "fire").is_dir():  # a checkout
    __path__.append(str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from .fire import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Import the public names of `fire_rl.fire` at first use, so that the command line starts without torch."""
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("fire_rl.fire"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("fire_rl.fire").__all__})
