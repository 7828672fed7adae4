"""What can be said of the class of a method of one's own, before it is asked anything."""

import inspect
from dataclasses import fields
from difflib import get_close_matches

from .methods import METHODS, Method
from .regularizers import REGULARIZERS
from .spelling import spell

HOOKS = ("check", "begin", "ready", "restructure", "act", "after_step", "penalty", "figures")
CALLED = (*HOOKS[1:], "inventory", "notes")  # those that a method does something in
EVERY_STEP = (("after_step", "acts_every_step"), ("penalty", "has_penalty"))


def of_ones_own(method: Method) -> bool:
    return type(method) not in (*METHODS.values(), *REGULARIZERS.values())


def check_class(method: Method) -> None:
    """What can be said of the class of a method of one's own, before it is asked anything."""
    if not of_ones_own(method):
        return
    kind, name = type(method), spell(method)
    known = {field.name for field in fields(kind)}
    for attribute, hint in inspect.get_annotations(kind).items():
        if attribute not in known and "ClassVar" not in str(hint):
            raise ValueError(
                f"{name}: {attribute!r} is no field: write @dataclass(frozen=True, kw_only=True) above the class"
            )
    _refuse_misnamed(kind, name, known)
    for hook in HOOKS:
        try:
            inspect.signature(getattr(method, hook)).bind(None)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: {hook}() is called as {hook}(network), which it does not take: {error}"
            ) from error
    for hook, flag in EVERY_STEP:
        defined = getattr(kind, hook) is not getattr(Method, hook)
        if defined and not getattr(method, flag):
            raise ValueError(f"{name} has {hook}(), which is never called: set {flag} = True in its class")
        if getattr(method, flag) and not defined:
            raise ValueError(f"{name} sets {flag} = True and has no {hook}()")


def _refuse_misnamed(kind: type[Method], name: str, known: set[str]) -> None:
    """A class of which nothing is ever called, with functions of its own."""
    own = [key for key, value in vars(kind).items() if callable(value) and key[0] != "_" and key not in known]
    if any(getattr(kind, hook) is not getattr(Method, hook) for hook in CALLED):
        return
    for key in own:
        if not hasattr(Method, key):
            near = next(iter(get_close_matches(key.lower(), HOOKS, n=1, cutoff=0.55)), "act")
            raise ValueError(f"{name} has {key}(), which is never called, and nothing that is; nearest is {near}()")
