"""How a method is written on a command line and in a record: `fire`, `fire:solver=exact,scope=encoder`, `my_module:MyMethod:strength=2`.

Names are those of INTERVENTIONS, of an agent's presets, or an importable class; fields and their types are read from the dataclass.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .interventions import INTERVENTIONS, Intervention

Presets = Mapping[str, Intervention]


def parse_intervention(text: str, presets: Presets | None = None) -> Intervention:
    """The method that `text` spells; presets come before the built-in methods of the same name."""
    name, _, rest = text.strip().partition(":")
    known: dict[str, Intervention] = _known(presets)
    if name in known:
        method = known[name]
    else:
        class_name, _, rest = rest.partition(":")
        if not class_name or "=" in class_name:
            raise ValueError(f"{name!r} is not a method: {', '.join(known)}, or module:Class; nearest is {_nearest(name, known)}")
        method = _imported(name, class_name)
    return replace(method, **_values(type(method), rest))


def spell(intervention: Intervention, presets: Presets | None = None) -> str:
    """The text that `parse_intervention` (with the same presets) turns into this method: its name, then the fields that differ."""
    known = _known(presets)
    for name, method in known.items():
        if method == intervention:
            return name
    kind = type(intervention)
    name, method = next(((name, method) for name, method in known.items() if type(method) is kind), (f"{kind.__module__}:{kind.__qualname__}", kind()))
    values = [(field.name, getattr(intervention, field.name)) for field in fields(intervention)]
    changed = [f"{key}={_text(value)}" for key, value in values if value != getattr(method, key)]
    return ":".join([name, ",".join(changed)] if changed else [name])


def describe_interventions(presets: Presets | None = None) -> str:
    """Text for --help: every method, what it does, its fields with their defaults, allowed values and meaning."""
    lines = []
    for name, method in _known(presets).items():
        lines.append(f"{name}: {(type(method).__doc__ or '').strip().splitlines()[0]}")
        hints = get_type_hints(type(method))
        for field in fields(method):
            allowed = "|".join(map(str, get_args(hints[field.name]))) if get_origin(hints[field.name]) is Literal else ""
            default = _text(getattr(method, field.name))
            lines.append(f"  {field.name}={default}  {field.metadata.get('help', '')}{f' ({allowed})' if allowed else ''}")
    lines.append("module:Class[:field=value,...]: a method of your own")
    return "\n".join(lines)


def _known(presets: Presets | None) -> dict[str, Intervention]:
    return {**{name: kind() for name, kind in INTERVENTIONS.items()}, **(presets or {})}


def _imported(module: str, class_name: str) -> Intervention:
    try:
        kind = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no method {module}:{class_name}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Intervention)):
        raise ValueError(f"{module}:{class_name} is not a subclass of fire.Intervention")
    return kind()


def _values(kind: type[Intervention], text: str) -> dict[str, Any]:
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"{item!r} is not of the form field=value")
        if key not in names:
            raise ValueError(f"{kind.__name__} has no field {key!r}; it has {', '.join(names) or 'none'}; nearest is {_nearest(key, names)}")
        values[key] = _value(key, value, hints[key])
    return values


def _value(key: str, text: str, hint: Any) -> Any:
    """One value read as its field's type. Literals are checked by the method itself, which knows their nearest spelling."""
    kinds = get_args(hint) or (hint,)
    if get_origin(hint) is Literal:
        return next((value for value in kinds if str(value) == text), text)
    if NoneType in kinds and text.lower() == "none":
        return None
    if bool in kinds:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key}={text} must be true or false")
        return text.lower() == "true"
    kind = next(kind for kind in kinds if kind is not NoneType)
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{key}={text} is not of type {kind.__name__}") from error


def _text(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _nearest(name: str, names: Iterable[str]) -> str:
    return (get_close_matches(name, list(names), n=1, cutoff=0.0) or ["none"])[0]
