"""Read a small, strict part of YAML: settings by name, with every value as a text, as if it had been typed.

Only texts, lists and one level of groups are allowed: no tags, no anchors, no second document, no name twice. `null`,
`~` and an empty value mean "unset". Numbers, truth values and names are read by the code that reads the command line,
so that `1e6`, `500k` and `no` mean the same in both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .durable import Damaged, read_regular

BYTES = 64_000  # the largest file that is read
EVENTS = 10_000  # the largest number of names, values and brackets
NAME = 200  # the longest name, in characters
UNSET = ("", "~", "null", "Null", "NULL")

Value = str | None | list[str]


def read_yaml(path: Path) -> dict[str, Value]:
    """Return the settings of a file, including those in groups; raise ValueError in one line if it is not valid."""
    try:
        content = bytes(read_regular(path, BYTES))
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not text in UTF-8") from None
    except Damaged as error:
        raise ValueError(str(error)) from error
    try:
        events = _events(text, path)
        found = _mapping(events, path, groups=True)
        for _ in events:
            pass  # checks what follows, too
        return found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", error)).split())
        raise ValueError(f"{_at(path, mark)}: cannot be read as YAML: {problem}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deep") from None


def _at(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}" if mark else str(path)


def _events(text: str, path: Path) -> Iterator[yaml.Event]:
    """Yield the content of the file's only document; raise ValueError at the first thing that is not allowed."""
    documents = 0
    event: Any
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        where = _at(path, event.start_mark)
        if count > EVENTS:
            raise ValueError(f"{path}: has more than {EVENTS:,} entries")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError(f"{where}: anchors and aliases (& and *) are not allowed: write the value out")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"{where}: tags ({str(event.tag)[:40]}) are not allowed: a value is a text or a number")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ValueError(f"{where}: a second document begins; a file may have only one")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _mapping(events: Iterator[yaml.Event], path: Path, groups: bool) -> dict[str, Value]:
    first = next(events, None)
    if first is None:
        return {}
    if not isinstance(first, yaml.MappingStartEvent):
        raise ValueError(f"{_at(path, first.start_mark)}: settings are lines such as steps: 1e6")
    return _entries(events, path, groups)


def _entries(events: Iterator[yaml.Event], path: Path, groups: bool) -> dict[str, Value]:
    """Return the entries of a mapping whose beginning was read already."""
    found: dict[str, Value] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            return found
        where = _at(path, event.start_mark)
        if not isinstance(event, yaml.ScalarEvent) or len(event.value) > NAME:
            raise ValueError(f"{where}: a setting's name is a short text")
        value = next(events)
        if isinstance(value, yaml.MappingStartEvent):
            if not groups:
                raise ValueError(
                    f"{where}: {event.value!r} is a group inside a group; only one level of groups is allowed"
                )
            entries = _entries(events, path, False)
        else:
            entries = {event.value: _value(value, events, path)}
        for name, each in entries.items():
            if name in found:
                raise ValueError(f"{where}: {name!r} is given twice")
            found[name] = each
    return found


def _value(first: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Value:
    if isinstance(first, yaml.ScalarEvent):
        return None if first.implicit[0] and first.value in UNSET else str(first.value)
    found: list[str] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        if not isinstance(event, yaml.ScalarEvent):
            raise ValueError(f"{_at(path, event.start_mark)}: a list may hold only texts and numbers")
        found.append(str(event.value))
    return found
