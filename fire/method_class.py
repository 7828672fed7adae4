"""Check the class of a user's own method before any of its functions is called."""

import inspect
from dataclasses import fields
from difflib import get_close_matches

from .methods import METHODS, Method
from .regularizers import REGULARIZERS
from .spelling import spell

HOOKS = ("check", "begin", "ready", "restructure", "act", "after_step", "penalty", "figures")
CALLED = (*HOOKS[1:], "inventory", "notes")  # a method must override at least one of these to have an effect
EVERY_STEP = (("after_step", "acts_every_step"), ("penalty", "has_penalty"))


def of_ones_own(method: Method) -> bool:
    """Whether the method is a user's own, not a built-in one."""
    return type(method) not in (*METHODS.values(), *REGULARIZERS.values())


def check_class(method: Method) -> None:
    """Raise ValueError if the class of a user's own method has a mistake that can be found without calling it."""
    if not of_ones_own(method):
        return
    kind, name = type(method), spell(method)
    known = {field.name for field in fields(kind)}
    for attribute, hint in inspect.get_annotations(kind).items():
        if attribute not in known and "ClassVar" not in str(hint):
            raise ValueError(
                f"{name}: {attribute!r} is not a field: write @dataclass(frozen=True, kw_only=True) above the class"
            )
    _refuse_misnamed(kind, name, known)
    for hook in HOOKS:
        try:
            inspect.signature(getattr(method, hook)).bind(None)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: {hook}() is called as {hook}(network), but its parameters are different: {error}"
            ) from error
    for hook, flag in EVERY_STEP:
        defined = getattr(kind, hook) is not getattr(Method, hook)
        if defined and not getattr(method, flag):
            raise ValueError(f"{name} has {hook}(), which is never called: set {flag} = True in its class")
        if getattr(method, flag) and not defined:
            raise ValueError(f"{name} sets {flag} = True but has no {hook}()")


def _refuse_misnamed(kind: type[Method], name: str, known: set[str]) -> None:
    """Raise ValueError if a class overrides nothing that is called, but has other functions: likely misspelled ones."""
    own = [key for key, value in vars(kind).items() if callable(value) and key[0] != "_" and key not in known]
    if any(getattr(kind, hook) is not getattr(Method, hook) for hook in CALLED):
        return
    for key in own:
        if not hasattr(Method, key):
            near = next(iter(get_close_matches(key.lower(), HOOKS, n=1, cutoff=0.55)), "act")
            raise ValueError(f"{name} has {key}(), which is never called, and no function that is; nearest is {near}()")
