"""The names of environments: for lists, for --help-all, and for refusing a name that does not exist."""

import difflib
import textwrap
from importlib.util import find_spec

import gymnasium as gym

from fire_rl.place import install

from .atari_names import games, is_atari, require_no_other_spelling
from .humanoid import TASKS
from .minatar import PREFIX as MINATAR
from .minatar import minatar_names
from .original import PREFIX as ORIGINAL
from .suite import PREFIX as SUITE
from .suite import benchmark_names

NAMESPACE = "fire_rl"
NATIVE = {f"h1-{name}": task for name, task in TASKS.items()}


def native_name(name: str) -> str:
    """Return `h1-walk` for `h1-walk`, `h1-walk-v0` and `fire_rl/h1-walk-v0`: a key of `NATIVE` for a native task."""
    return name.removeprefix(f"{NAMESPACE}/").removesuffix("-v0")


def gymnasium_id(name: str) -> str:
    """Return Gymnasium's id of a native task; ids without the prefix `fire_rl/` belong to the original package."""
    return f"{NAMESPACE}/{native_name(name)}-v0"


def names() -> list[str]:
    """Return the names of native tasks, then of the Control suite, Atari and MinAtar if installed, then Gymnasium's."""
    others = [*benchmark_names(), *(games() if find_spec("ale_py") else ()), *minatar_names()]
    return [*NATIVE, *others, *(name for name in gym.registry if not _has_another_name(name))]


def describe_names(actions: str = "any") -> str:
    """Describe the kinds of names, one on a line, for `actions` that are continuous, discrete or any."""
    tasks = textwrap.wrap(", ".join(TASKS), width=70)
    continuous = (
        "h1-TASK: HumanoidBench's fourteen tasks of the H1, native. TASK is",
        *(f"  {line}" for line in tasks),
        f"{SUITE}DOMAIN-TASK: the DeepMind Control suite, such as {SUITE}humanoid-walk",
        f"{ORIGINAL}ID: the original package's robots and tasks, where it is installed,",
        f"  such as {ORIGINAL}h1hand-walk-v0",
    )
    discrete = (
        "GAME: Atari games by their names in ale-py, such as Breakout or MsPacman",
        f"{MINATAR}GAME-v1: MinAtar's games on a grid, such as {MINATAR}Breakout-v1",
    )
    example = "CartPole-v1" if actions == "discrete" else "HalfCheetah-v5"
    return "\n".join(
        (
            *(continuous if actions != "discrete" else ()),
            *(discrete if actions != "continuous" else ()),
            f"ID: whatever Gymnasium knows, such as {example}; module:ID: what a module registers",
        )
    )


def require_known(name: str) -> None:
    """Raise ValueError, with the nearest names, for a name that neither Gymnasium nor the module it names can know."""
    bare = name.removeprefix("ale_py:").removeprefix("minatar:")  # the modules that would register the games
    if bare not in gym.registry or _has_another_name(bare):
        require_no_other_spelling(bare)
    if bare != name and (is_atari(bare) or bare.startswith(MINATAR)):
        raise ValueError(f"environment {name!r} is called {bare!r} here")
    if ":" in name:
        if name.count(":") > 1 or not all(name.split(":")):
            raise ValueError(f"environment {name!r} is not of the form module:id, such as my_package:Task-v0")
        return  # the module registers it when imported
    try:
        gym.spec(name)
    except gym.error.Error:
        known = {known.lower(): known for known in [*games(), *names()]}
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4) or sorted(NATIVE)[:3]
        nearest = ", ".join(known.get(close, close) for close in near)
        missing = "" if find_spec("ale_py") else f"; Atari games need ale_py: {install('atari')}"
        own = "; an environment of your own is named module:ID"
        raise ValueError(f"no environment is called {name!r}; the nearest names are {nearest}{own}{missing}") from None


def _has_another_name(identifier: str) -> bool:
    """Whether an id in Gymnasium's registry has a name of its own here: our tasks, ale-py's and MinAtar's games."""
    entry_point = str(gym.registry[identifier].entry_point)
    return identifier.startswith(f"{NAMESPACE}/") or entry_point.startswith(("ale_py", "minatar"))
