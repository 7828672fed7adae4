"""The text that every installation has, compared with what Python's own parser finds in the same files."""

import ast
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from fire_rl.data import standard_library
from fire_rl.data.standard_library import divided, read_library
from fire_rl.data.text import read_texts, weights_of
from fire_rl.data.text_stream import PhasedText, accumulating

MODULE = '''#!/usr/bin/env python
# A comment with """ in it.

r"""The module, with a \\backslash.

    Indented.
"""
import os  # "no docstring"

TEXT = """
no docstring: \'\'\'
"""


class Thing(  # with a comment:
    object,
):

    # A comment before.
    "One line."

    def method(self, text=": '"):
        """Ends with a colon:
        """

        return {"a":
            """value"""}

    def other(self): "not on a line of its own"

    async def third(self):
        """Escaped: \\t \\"\\"\\" and ' and ".""" ; pass

    def fourth(self) -> "Thing":
        u"""Last: é."""
'''


def docstrings(text: str) -> list[str]:
    """Return docstrings in the order of the file."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds) and ast.get_docstring(node)]
    return [(ast.get_docstring(node) or "").rstrip() for node in sorted(nodes, key=lambda node: node.body[0].lineno)]


def test_a_module_is_divided_into_docstrings_and_code():
    told, code = divided(MODULE)
    assert told.split("\n\n") == [
        "The module, with a \\backslash.", "Indented.", "One line.", "Ends with a colon:", "Last: é."
    ]  # fmt: skip
    for kept in ('"no docstring"', "no docstring: '''", "A comment before", '"""value"""}', "pass", "not on a line"):
        assert kept in code
    for gone in ("The module", "Indented", "One line.", "Ends with", "Last"):
        assert gone not in code
    assert divided("") == ("", "")
    assert divided("x = 1") == ("", "x = 1")


def test_nearly_all_docstrings_of_the_library_are_found():
    root = Path(sysconfig.get_path("stdlib"))
    names = sorted(standard_library._modules(root))
    wrong = []
    for name in names[::20]:
        text = (root / name).read_text().replace("\r\n", "\n")
        if name != standard_library.TOPICS and divided(text)[0] != "\n\n".join(docstrings(text)):
            wrong.append(name)
    assert len(names) > 400
    assert set(wrong) <= {"ctypes/__init__.py", "tkinter/dialog.py"}  # strings that stand alone elsewhere


def test_the_library_is_read_the_same_each_time_and_in_less_than_two_seconds():
    began = time.process_time()
    library = read_library()
    assert time.process_time() - began < 2
    assert read_library() == library
    for training, validation in library:
        assert not set(training) & set(validation)
        assert 15 < len(training) / len(validation) < 25
        assert sum(map(len, training)) > 1_500_000
        assert sum(map(len, validation)) > 50_000


def make_library(folder: Path, files: int) -> Path:
    for number in range(files):
        (folder / f"m{number:03}.py").write_text(f'"""Told {number}."""\nx = {number}\n')
    for name in ("test/t.py", "site-packages/s.py", "encodings/e.py", "config-3/c.py", "_sysconfigdata_x.py", "a.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('"""Never."""\n')
    return folder


def test_every_twentieth_file_is_for_validation_in_both_texts(tmp_path: Path):
    library = read_library(make_library(tmp_path, 100))
    held_out = [19, 39, 59, 79, 99]
    assert library.documentation[1] == [f"Told {number}." for number in held_out]
    assert library.sources[1] == [f"x = {number}\n" for number in held_out]
    assert len(library.documentation[0]) == len(library.sources[0]) == 95


def test_help_topics_are_documentation(tmp_path: Path):
    make_library(tmp_path, 100)
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data/topics.py").write_text("topics = {'b': 'Second\\n', 'a': r'''First'''}\n")
    library = read_library(tmp_path)
    assert library.documentation[0][-2:] == ["First", "Second"]
    assert not any("First" in text for text in library.sources[0])


def test_files_that_are_not_text_are_left_out(tmp_path: Path):
    make_library(tmp_path, 100)
    (tmp_path / "m000.py").write_bytes(b'"""\xff"""')
    library = read_library(tmp_path)
    assert sum(map(len, library.documentation)) == sum(map(len, library.sources)) == 99


def test_a_library_without_sources_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "python311.zip"))
    with pytest.raises(
        ValueError, match=r"python311\.zip has 0 files of Python's standard library.*--data-dir"
    ) as raised:
        read_texts("python")
    assert "\n" not in str(raised.value)


def test_the_embedded_texts_describe_themselves_and_can_be_learned_from():
    sources = read_texts("python")
    assert list(sources) == ["documentation", "sources"]
    for name, source in sources.items():
        assert source.source.startswith(f"{name}: ")
        assert "Python " + ".".join(map(str, sys.version_info[:3])) in source.source
        assert f"{source.train.bytes:,} bytes for training" in source.source
        assert source.train.sha256[:16] in source.source
        assert (source.encoding, source.vocabulary) == ("bytes", 256)
        assert int(source.train.values.max()) == 255
        assert 0.999 < (source.validation.bytes_per_token or 0) < 1
    phases = accumulating(weights_of(sources, "python"), (100, 100))
    stream = PhasedText(sources, phases, context=128, batch_size=32, seed=0)
    text = bytes(stream.batch(0).tokens[0].tolist())
    assert text in sources["documentation"].train.values.astype("u1").tobytes()
