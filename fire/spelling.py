"""Read and write methods as text, as on the command line and in records: `fire`, `fire:solver=exact,scope=encoder`.

A name is that of a built-in method or of an agent's preset, or `module:Class` for a user's own method:
`my_module:MyMethod:strength=2`. Fields, their types and their defaults are read from the method's dataclass.
"""

import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .error_place import place_of
from .methods import METHODS, Method, Reinitialization, Reset
from .nearest import choices, did_you_mean, nearest
from .regularizers import REGULARIZERS

Presets = Mapping[str, Method]
Kinds = Mapping[str, type[Method]]
HOW_TO_DECORATE = "write @dataclass(frozen=True, kw_only=True) above the class"


def parse_method(text: str, presets: Presets | None = None) -> Method:
    """Return the method that `text` names. A preset takes precedence over the built-in method of the same name."""
    name = text.strip().partition(":")[0]
    if name in REGULARIZERS:
        raise ValueError(f"method {name!r} acts at every gradient step: give it as a regularizer (--regularize)")
    return _parse(text, "method", METHODS, presets)


def parse_regularizer(text: str, presets: Presets | None = None) -> Method:
    """Return the regularizer that `text` names. It acts at every gradient step, besides any method."""
    name = text.strip().partition(":")[0]
    if name in METHODS:
        raise ValueError(f"regularizer {name!r} is a method: give it as a method (--reinit)")
    regularizer = _parse(text, "regularizer", REGULARIZERS, presets)
    if not (regularizer.acts_at_events or regularizer.has_penalty or regularizer.acts_every_step):
        raise ValueError(
            f"regularizer {text.strip()!r} would never be called: set has_penalty = True in its class for penalty() or "
            "acts_every_step = True for after_step()"
        )
    if regularizer.acts_at_events:
        raise ValueError(
            f"regularizer {text.strip()!r} acts at events: give it as a method (--reinit), "
            "or set acts_at_events = False in its class"
        )
    return regularizer


def _parse(text: str, what: str, kinds: Kinds, presets: Presets | None) -> Method:
    name, _, rest = text.strip().partition(":")
    presets = _presets_of(kinds, presets)
    if name in kinds or name in presets:
        usual = presets[name] if name in presets else kinds[name]()
        return usual.altered(_values(type(usual), rest))
    class_name, _, rest = rest.partition(":")
    if not class_name or "=" in class_name:
        known = list(dict.fromkeys((*kinds, *presets)))
        names = ", ".join(known)
        if all(word.partition(":")[0] in known for word in text.split(",")):
            raise ValueError(f"{what} {text!r} given; separate several by spaces: {' '.join(text.split(','))}")
        module, dot, own = name.rpartition(".")
        near = f"{module}:{own}" if dot and own.isidentifier() else nearest(name, known)
        begins = bool(name) and any(each.startswith(name.lower()) for each in known)
        is_near = dot or begins or did_you_mean(name.lower(), known, cutoff=0.7)
        end = f"nearest is {near}" if is_near else "a class of your own is named with its module, such as noisy:Noisy"
        raise ValueError(f"{what} {name!r} is unknown; known are {names}, module:Class; {end}")
    kind = _imported(name, class_name)
    try:
        return kind(**_values(kind, rest))
    except TypeError as error:
        raise ValueError(f"{name}:{class_name}: {error}") from error


def spell(method: Method, presets: Presets | None = None) -> str:
    """Return the text that `parse_method`, with the same presets, reads as this method: a name, then changed fields."""
    kind, named = type(method), {**METHODS, **REGULARIZERS}
    presets = {known: preset for known, preset in (presets or {}).items() if type(preset) is kind}
    known = _known({known: other for known, other in named.items() if other is kind}, presets)
    name = f"{kind.__module__}:{kind.__qualname__}"
    usual: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    for known_name, preset in known.items():
        if preset == method:
            return known_name
        if type(preset) is kind and ":" in name:
            name, usual = known_name, {field.name: getattr(preset, field.name) for field in fields(kind)}
    values = [(field, getattr(method, field.name)) for field in fields(kind)]
    changed = [f"{field.name}={_text(value, field)}" for field, value in values if value != usual[field.name]]
    return ":".join([name, ",".join(changed)] if changed else [name])


def describe_methods(presets: Presets | None = None) -> str:
    """Return the part of --help-all on methods: what each does, and its fields with default and meaning."""
    known, shared = _known(METHODS, _presets_of(METHODS, presets)), fields(Reinitialization)
    lines = [line for name, method in known.items() for line in _lines(name, method, shared)]
    takers = [name for name, method in known.items() if isinstance(method, Reinitialization)]
    lines.append(f"{', '.join(takers)} also have these fields (unless listed above with other values)")
    lines += [_describe(Reset(), field) for field in shared]
    lines.append("module:Class[:field=value,...]: your own method, a subclass of fire_rl.Method")
    return "\n".join(lines)


def describe_regularizers(presets: Presets | None = None) -> str:
    """Return the part of --help-all on regularizers: what each does, and its fields with default and meaning."""
    known = _known(REGULARIZERS, _presets_of(REGULARIZERS, presets))
    return "\n".join(line for name, method in known.items() for line in _lines(name, method))


def describe_method(name: str, presets: Presets | None = None) -> str:
    """Describe one method or regularizer: its equation and source, how to write it, and its fields."""
    method = _known({**METHODS, **REGULARIZERS}, presets)[name]
    source = (inspect.getdoc(sys.modules[type(method).__module__]) or "").strip()
    about = (inspect.getdoc(type(method)) or "").strip()
    values = ",".join(f"{field.name}={_text(getattr(method, field.name), field)}" for field in fields(method)[:2])
    flag = "--regularize" if name in REGULARIZERS else "--reinit"
    example = f"{flag} {name}" + (f", or with fields {flag} {name}:{values}" if values else "")
    lines = [name, "", source, "", *([about, ""] if about not in source else []), f"Written {example}"]
    if spell(method) != name:
        lines.append(f"For this learner it means {spell(method)}, as published.")
    return "\n".join([*lines, *(["", "Fields, with their values for this learner"] if values else []),
                      *(_describe(method, field) for field in fields(method))])  # fmt: skip


def _presets_of(kinds: Kinds, presets: Presets | None) -> Presets:
    """Return the presets of regularizers if these are the kinds, and otherwise those of methods."""
    of_regularizers = kinds is REGULARIZERS
    return {name: method for name, method in (presets or {}).items() if (name in REGULARIZERS) == of_regularizers}


def _lines(name: str, method: Method, left_out: "tuple[Field[Any], ...]" = ()) -> list[str]:
    """Return a method's line, with its full text if a preset differs from the class, and a line for each field."""
    spelled = "" if spell(method) == name else f" Here {spell(method)}."
    head = f"{name}: {(type(method).__doc__ or '').strip().splitlines()[0]}{spelled}"
    return [head, *(_describe(method, field) for field in fields(method) if field not in left_out)]


def _describe(method: Method, field: "Field[Any]") -> str:
    """Return the line of a field, with its value in this method, which may be a preset."""
    hint = get_type_hints(type(method))[field.name]
    allowed = f" ({', '.join(map(str, get_args(hint)))})" if get_origin(hint) is Literal else ""
    return f"  {field.name}={_text(getattr(method, field.name), field)}: {field.metadata.get('help', '')}{allowed}"


def _known(kinds: Kinds, presets: Presets | None = None) -> dict[str, Method]:
    return {name: kind() for name, kind in kinds.items()} | dict(presets or {})


def _imported(module: str, class_name: str) -> type[Method]:
    try:
        kind = getattr(importlib.import_module(module), class_name)
    except (Exception, SystemExit) as error:  # importing a user's module may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        where = f"{place_of(error, module)}{_advice(module, class_name, error)}"
        raise ValueError(f"method {module}:{class_name} cannot be imported: {reason}{where}") from error
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise ValueError(f"{module}:{class_name} is not a subclass of fire_rl.Method: write class {class_name}(Method)")
    return kind


def _advice(module: str, class_name: str, error: BaseException) -> str:
    """Return what to do about a usual mistake in naming or writing a method, as the end of a message; "" if unknown."""
    if module.endswith(".py") or "/" in module:
        name = module.removesuffix(".py").rpartition("/")[2]
        return f"; give the name of the module, without folder and .py: {name}:{class_name}"
    if "non-frozen dataclass from a frozen" in str(error):
        return f": {HOW_TO_DECORATE}"
    if isinstance(error, AttributeError) and module in sys.modules:  # it was imported and lacks the class
        own = [name for name, value in vars(sys.modules[module]).items() if _is_own(value, module)]
        has = f"; its methods are {choices(class_name, own)}" if own else ""
        return has or "; no class in it is a subclass of fire_rl.Method"
    if not (isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")):
        return ""
    return f"; save it as {module.replace('.', '/')}.py in {Path.cwd()}, or in a folder on PYTHONPATH"


def _is_own(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Method) and value.__module__ == module


def _values(kind: type[Method], text: str) -> dict[str, Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    readers = {field.name: field.metadata["read"] for field in fields(kind) if "read" in field.metadata}
    values: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"{item!r} is not of the form field=value")
        if key not in names:
            decorated = "__dataclass_fields__" in vars(kind)
            lacks = "it has no fields" if decorated else f"it has no fields: {HOW_TO_DECORATE}"
            has = f"known are {choices(key, names)}" if names else lacks
            raise ValueError(f"{kind.__name__} has no field {key!r}; {has}")
        if key in values:
            raise ValueError(f"{kind.__name__}: field {key!r} was given twice")
        values[key] = readers[key](value) if key in readers else _value(key, value, hints[key])
    return values


def _value(key: str, text: str, hint: Any) -> Any:
    """Read one value as its field's type. A wrong Literal is returned as it is: the method's own check refuses it."""
    choices = get_args(hint) or (hint,)
    if get_origin(hint) is Literal:
        return next((choice for choice in choices if str(choice) == text), text)
    if NoneType in choices and text == "none":
        return None
    kind = next(choice for choice in choices if choice is not NoneType)
    if kind is bool and text in ("true", "false"):
        return text == "true"
    try:
        if kind in (int, float, str):
            return kind(text)
    except ValueError:
        pass
    raise ValueError(f"{key}={text} is not of type {getattr(kind, '__name__', kind)}")


def _text(value: Any, field: "Field[Any]") -> str:
    """Return a value as text that `_value`, or the field's own `read`, accepts."""
    if "write" in field.metadata:
        return field.metadata["write"](value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
