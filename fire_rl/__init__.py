"""fire-rl under its one name: `from fire_rl import fire_` gives what `fire_rl.fire` has, and the other rooms,
`fire_rl.agents`, `fire_rl.envs` and so on, lie beside it.

One mechanism, for a checkout and for an installed wheel. All code imports another room by its full name, such as
`from fire_rl.envs import make`. The wheel holds the rooms inside this package (`setup.py` maps the folders `agents/`,
`envs/`, ... to `fire_rl.agents`, `fire_rl.envs`, ...). In a checkout the rooms are the folders beside this one, and one
line below adds the checkout to this package's search path, `__path__`. Nothing is copied, no import is intercepted.
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
    """The public names of `fire_rl.fire`, imported when first asked for: the command line begins without torch."""
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("fire_rl.fire"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("fire_rl.fire").__all__})
