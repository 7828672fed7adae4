"""Translate values as people write them, such as 500k or names in any case, into the settings' one spelling.

A value that is not understood is left unchanged; whatever reads the settings then refuses it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fire_rl.agents.language.sizes import SIZES
from fire_rl.agents.vision import NETWORKS
from fire_rl.data import IMAGE_SETS
from fire_rl.data.text import TEXT_SETS
from fire_rl.envs import names
from fire_rl.fire import MEASURES, METHODS, REGULARIZERS, Method

THOUSANDS = {"": 0, "k": 3, "m": 6, "b": 9}
NUMBER = re.compile(r"(?P<number>[+-]?(?:\d[\d_]*)?\.?\d[\d_]*(?:e[+-]?\d{1,3})?)(?P<unit>[kmb]?)", re.IGNORECASE)
DIGITS = 30  # the largest number of digits of an integer
BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), "True") | dict.fromkeys(("false", "no", "off", "0"), "False")
OTHER_NAMES = {  # names of methods in publications
    "shrinkandperturb": "shrink-perturb",
    "snp": "shrink-perturb",
    "s&p": "shrink-perturb",
    "continualbackprop": "cbp",
    "continualbackpropagation": "cbp",
    "selfnormalizedresets": "snr",
    "plasticityinjection": "injection",
    "l2init": "l2-init",
}
DATA = {"fashionmnist": "fashion", "cifar": "cifar10"}  # torchvision's names of data sets


def key(name: str) -> str:
    """Return a name in lower case without underscores, hyphens and spaces, for comparing spellings."""
    return re.sub(r"[-_ ]", "", name).lower()


def as_known(name: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return the known name that is meant, or the name unchanged if there is none or more than one."""
    names = list(known)
    if name in names:
        return name
    for fold in (str.lower, key):
        meant = {each for each in names if fold(each) == fold(name)}
        if len(meant) == 1:
            return meant.pop()
    return (others or {}).get(key(name), name)


def whole_number(text: str) -> str:
    """Write an integer such as 1e6, 500k, 1.5M or 1_000_000 in digits; leave any other text unchanged."""
    found = NUMBER.fullmatch(text.strip())
    if found is None:
        return text
    try:
        value = Decimal(found["number"].replace("_", "")).scaleb(THOUSANDS[found["unit"].lower()])
    except InvalidOperation:
        return text
    if not value.is_finite() or value.adjusted() > DIGITS or value != value.to_integral_value():
        return text
    return str(int(value))


def value_of(text: str, hint: Any) -> str:
    """Return a value in the spelling that a flag of this type takes."""
    kinds = [hint]
    while any(get_args(kind) and get_origin(kind) is not Literal for kind in kinds):
        kinds = [inner for kind in kinds for inner in (_inside(kind) or (kind,))]
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if (choice := as_known(text, choices)) in choices:
        return choice
    if NoneType in kinds and text.lower() in ("none", "null"):
        return "None"
    if bool in kinds:
        return BOOLEANS.get(text.lower(), text)
    return whole_number(text) if int in kinds and float not in kinds else text


def _inside(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return ()
    return tuple(each for each in get_args(kind) if each is not Ellipsis)


# Names


def spoken(flag: str, values: Sequence[str], hint: Any, published: Mapping[str, Method]) -> list[str]:
    """Translate the values of one flag: by the flag if its values are names, else by its type."""
    of_method: Callable[[str], str] = partial(method, published=published)
    read = {
        **dict.fromkeys(("--reinit", "--regularize", "--baseline", "--reference"), of_method),
        "--env": subject,
        "--data": data_set,
        "--reinit-when": trigger,
        "--device": str.lower,
        "--network": lambda text: as_known(text, [*NETWORKS, *SIZES, *_choices(hint)]),
    }.get(flag)
    return [read(text) if read else value_of(text, hint) for text in values]


def _choices(hint: Any) -> list[str]:
    return [str(choice) for choice in get_args(hint)] if get_origin(hint) is Literal else []


def environment(name: str) -> str:
    """Return the known name of an environment, `h1-walk` for `H1-Walk`; other names are left unchanged."""
    return as_known(name, names())


def data_set(name: str) -> str:
    """Return the known name of a data set; other names are left unchanged."""
    return name if "+" in name else as_known(name, [*IMAGE_SETS, *TEXT_SETS], DATA)


def subject(name: str) -> str:
    """Return the known name of an environment or a data set."""
    found = environment(name)
    return found if found != name or name in names() else data_set(name)


def method(text: str, published: Mapping[str, Method]) -> str:
    """Return a method in the known spelling of its names and choices, also as METHOD+REGULARIZER@SCHEDULE in sweeps."""
    plain, at, schedule = text.partition("@")
    parts = re.split(r"(\+)(?=[a-zA-Z_&])", plain)
    return "".join(part if part == "+" else _method(part, published) for part in parts) + at + _schedule(schedule)


def _method(text: str, published: Mapping[str, Method]) -> str:
    name, colon, fields = text.strip().partition(":")
    kinds = {known: type(preset) for known, preset in published.items()} | METHODS | REGULARIZERS
    known = as_known(name, kinds, OTHER_NAMES)
    if known not in kinds:
        return text
    return f"{known}{colon}{','.join(_field(item, kinds[known]) for item in fields.split(','))}" if colon else known


def _field(item: str, kind: type[Method]) -> str:
    name, equals, value = item.partition("=")
    hints = get_type_hints(kind)
    name = as_known(name.strip(), hints)
    hint = hints.get(name)
    if hint is None or not equals:
        return item
    choices, kinds, value = _choices(hint), get_args(hint) or (hint,), value.strip()
    if choices:
        value = as_known(value, choices)
    elif value.lower() in ("none", "true", "false") and (bool in kinds or NoneType in kinds):
        value = value.lower()
    elif int in kinds and float not in kinds:
        value = whole_number(value)
    return f"{name}={value}"


def _schedule(text: str) -> str:
    parts = [part.partition("=") for part in text.split(",")]
    found = []
    for name, equals, value in parts:
        word = name.strip().lower()
        read = trigger if word == "when" else whole_number
        found.append(f"{word}{equals}{read(value)}" if word in ("every", "at", "when") else name + equals + value)
    return ",".join(found)


def trigger(text: str) -> str:
    """Return a trigger with the known name of its measure: `dormant>0.25` for `Dormant>0.25`."""
    found = re.fullmatch(r"(?P<network>[^./<>]*\.)?(?P<measure>\w+)(?P<rest>(?:/[^<>]*)?[<>].*)", text.strip())
    if found is None:
        return text
    return f"{found['network'] or ''}{as_known(found['measure'], MEASURES)}{found['rest']}"
