"""A text that needs no download: the documentation and the source code of Python's own standard library.

Both are read from the running interpreter's library in less than a second; nothing is written to the disk.
`documentation` consists of the docstrings of modules, classes and functions and of Python's help topics, `sources` of
the modules without these docstrings. Both depend only on the published version of Python; their checksums show whether
they are the same.
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

EVERY = 20  # of this many consecutive files or help topics, the last one is for validation
FEWEST_FILES = 100  # with fewer files, the folder is not a complete standard library

# Left out: tests, installed packages, files that differ between machines, and tables of characters.
LEFT_OUT = {"__pycache__", "dist-packages", "encodings", "idle_test", "site-packages", "test", "tests"}
MACHINE = ("_sysconfigdata", "config-", "sitecustomize")
TOPICS = "pydoc_data/topics.py"

# Comments and strings. Matching from left to right makes sure that a quote in a comment begins no string, and that a
# hash sign in a string begins no comment.
_COMMENT_OR_STRING = re.compile(
    r"""#[^\n]*"""
    r'''|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'''
    r"""|\'\'\'[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*\'\'\'"""
    r'''|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'''
    r"""|'[^'\\\n]*(?:\\.[^'\\\n]*)*'""",
    re.DOTALL,
)


class Part(NamedTuple):
    """The two texts of one file or help topic."""

    name: str
    documentation: str
    sources: str


class Library(NamedTuple):
    """The documents of both texts: for each, those for training and those for validation."""

    documentation: tuple[list[str], list[str]]
    sources: tuple[list[str], list[str]]


def read_library(folder: Path | None = None) -> Library:
    """Read the texts of the running interpreter's library; both texts use the same files for validation."""
    root = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    library = Library(([], []), ([], []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about backslashes in the library's strings
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
    """Return Python's help topics from the source of their module, which assigns a dictionary of strings."""
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            found = ast.literal_eval(statement.value)
            return {name: inspect.cleandoc(told) for name, told in found.items() if isinstance(told, str)}
    return {}


def divided(text: str) -> tuple[str, str]:
    """Return a module's docstrings, one after the other, and its source without them.

    A docstring is a string that is a statement of its own, at the beginning of the module or directly after a colon.
    Comments and strings are found by a regular expression, which takes a tenth of the time of parsing.
    """
    told: list[str] = []
    code: list[str] = []
    kept = end = 0  # up to where the source has been copied, and where the last comment or string ended
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
    """Return the value of a string literal, without the indentation of the code around it."""
    if "\\" in literal and literal[0] not in "rR":
        return inspect.cleandoc(ast.literal_eval(literal)).rstrip()
    bare = literal.lstrip("rRuU")
    marks = 3 if bare[:3] in ('"""', "'''") else 1
    return inspect.cleandoc(bare[marks:-marks]).rstrip()
