"""The text that is always at hand: the documentation and the sources of Python's own standard library.

Both are read from the running interpreter's library, in less than a second, and nothing is kept on the disk.
`documentation` is the docstrings of its modules, classes and functions, and the language's own help topics; `sources`
is the modules without these docstrings. For one version of Python, as it is published, both are always the same; the
checksum tells.
"""

import ast
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

EVERY = 20  # of so many files, and help topics, the last one is for validation
FEWEST_FILES = 100  # fewer are no standard library

# Tests; what is installed beside the library; files of this one machine; tables of characters, which are no prose.
LEFT_OUT = {"__pycache__", "dist-packages", "encodings", "idle_test", "site-packages", "test", "tests"}
MACHINE = ("_sysconfigdata", "config-", "sitecustomize")
TOPICS = "pydoc_data/topics.py"

# Comments and strings, from the first one on: what looks like one within another is none.
_COMMENT_OR_STRING = re.compile(
    r"""#[^\n]*"""
    r'''|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'''
    r"""|\'\'\'[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*\'\'\'"""
    r'''|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'''
    r"""|'[^'\\\n]*(?:\\.[^'\\\n]*)*'""",
    re.DOTALL,
)


class Part(NamedTuple):
    """A file's share of the text."""

    name: str
    documentation: str
    sources: str


class Library(NamedTuple):
    """Documents of both texts, for training and for validation."""

    documentation: tuple[list[str], list[str]]
    sources: tuple[list[str], list[str]]


def read_library(folder: Path | None = None) -> Library:
    """The texts of the running interpreter's library; the files for validation are the same of both."""
    root = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    library = Library(([], []), ([], []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes in others' strings
        for number, part in enumerate(_parts(root)):
            held_out = number % EVERY == EVERY - 1
            for text, documents in ((part.documentation, library.documentation), (part.sources, library.sources)):
                if text:
                    documents[held_out].append(text)
    return library


def _parts(root: Path) -> Iterator[Part]:
    names = sorted(_modules(root))
    if len(names) < FEWEST_FILES:
        raise ValueError(
            f"{root} has {len(names)} files of Python's standard library, too few to learn from (is it a zip file?): "
            "give --data and --data-dir with token files, or use a Python with its library's sources"
        )
    for name in names:
        try:
            text = (root / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if name == TOPICS:
            yield from (Part(f"{name}:{topic}", told, "") for topic, told in sorted(_topics(text).items()))
        else:
            yield Part(name, *divided(text))


def _modules(root: Path) -> Iterator[str]:
    for folder, inside, files in os.walk(root):
        inside[:] = [name for name in inside if name not in LEFT_OUT and not name.startswith(MACHINE)]
        for name in files:
            if name.endswith(".py") and not name.startswith(MACHINE):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _topics(text: str) -> dict[str, str]:
    """The help topics: a dictionary of strings is assigned there, and nothing else counts."""
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            found = ast.literal_eval(statement.value)
            return {name: inspect.cleandoc(told) for name, told in found.items() if isinstance(told, str)}
    return {}


def divided(text: str) -> tuple[str, str]:
    """A module's docstrings, one after the other, and its source without them.

    A docstring is a string that is a statement of its own, at the module's beginning or right after a colon. Comments
    and strings are found by their marks alone, which takes a tenth of the time that parsing takes.
    """
    told: list[str] = []
    code: list[str] = []
    kept = end = 0  # how far the source is kept, and where the last comment or string ended
    previous = ":"  # the last character of code
    for match in _COMMENT_OR_STRING.finditer(text):
        start = match.start()
        between = text[end:start].rstrip("rRuU") if text[start] != "#" else text[end:start]
        if stripped := between.rstrip():
            previous = stripped[-1]
        end = match.end()
        if text[start] == "#":
            continue
        line = text.rfind("\n", 0, start) + 1
        after = text.find("\n", end)
        after = len(text) if after < 0 else after + 1
        alone = not text[line:start].strip().rstrip("rRuU") and text[end:after].strip()[:1] in ("", "#")
        if previous == ":" and alone:
            told.append(_content(text[line:end].strip()))
            code.append(text[kept:line])
            kept = after
        previous = text[end - 1]
    code.append(text[kept:])
    return "\n\n".join(filter(None, told)), "".join(code)


def _content(literal: str) -> str:
    """What a string literal stands for, without the indentation of the code around it."""
    if "\\" in literal and literal[0] not in "rR":
        return inspect.cleandoc(ast.literal_eval(literal)).rstrip()
    bare = literal.lstrip("rRuU")
    marks = 3 if bare[:3] in ('"""', "'''") else 1
    return inspect.cleandoc(bare[marks:-marks]).rstrip()
