"""Check the arguments given to a manager. Each error is one line that says what to give instead."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .methods import Method
from .nearest import choices
from .network import Network
from .spelling import spell
from .trigger import Trigger


def refuse_confused(networks: object, method: object, schedule: object) -> None:
    """Raise ValueError if networks, method or schedule is of the wrong kind; the message says what to give instead."""
    if isinstance(networks, Network) or not isinstance(networks, Sequence):
        raise ValueError(f"a {type(networks).__name__} given as networks: give a list, such as [network]")
    _refuse_unmade("the method", method, "parse_method", "")
    if not isinstance(method, Method):
        raise ValueError(f"a {type(method).__name__} given as the method: give a method, such as Fire()")
    if isinstance(schedule, int):
        raise ValueError(f"the schedule is given as a number: give Every({schedule})")
    if isinstance(schedule, type) or not callable(getattr(schedule, "crossed", None)):
        raise ValueError(f"{schedule!r} given as the schedule: give Every(updates), At((step,)) or Never()")


def _refuse_unmade(what: str, given: object, parse: str, arguments: str) -> None:
    """Raise ValueError if a text or a class was given where an instance is needed."""
    if isinstance(given, str):
        raise ValueError(f"{what} is given as text: give {parse}({given!r})")
    if isinstance(given, type):
        raise ValueError(f"{what} is given as a class: give {given.__name__}({arguments})")


def refuse_confused_lists(regularizers: Any, triggers: Any) -> None:
    """Raise ValueError if regularizers or triggers are not lists of the right kind."""
    for what, given, kind in (("regularizers", regularizers, Method), ("triggers", triggers, Trigger)):
        parse = f"parse_{what.removesuffix('s')}"
        if isinstance(given, str):
            raise ValueError(f"{what} are given as text: give [{parse}({given!r})]")
        if isinstance(given, kind) or not isinstance(given, Sequence):
            raise ValueError(f"a {type(given).__name__} given as {what}: give a list of them")
        for one in given:
            _refuse_unmade(f"one of the {what}", one, parse, "...")
            if not isinstance(one, kind):
                raise ValueError(f"a {type(one).__name__} given among the {what}: give {parse}(text)")
            if isinstance(one, Method) and one.acts_at_events:  # where only the manager's method is called
                other_calls = one.has_penalty or one.acts_every_step
                if type(one).act is not Method.act or not other_calls:
                    raise ValueError(f"{spell(one)} acts at events, but a regularizer cannot: give it as the method")


def known_name(name: Any, names: Collection[str]) -> str:
    """Return the name if it is one of the networks'; otherwise raise ValueError with the nearest name."""
    if name not in names:
        raise ValueError(f"network {name!r} is unknown; known are {choices(str(name), names)}")
    return str(name)


def refuse_computed_losses(losses: Any) -> None:
    """Raise ValueError if losses are not a mapping from networks' names to functions."""
    if not isinstance(losses, Mapping):
        raise ValueError(f"losses are a {type(losses).__name__}: give a function for each network, {{name: loss}}")
    for name, loss in losses.items():
        if not callable(loss):
            raise ValueError(
                f"the loss of network {name!r} is a {type(loss).__name__}: give a function that computes it, as "
                f"{{{name!r}: lambda: compute_loss()}}"
            )
