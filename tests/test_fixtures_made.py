"""Recorded figures of other people's code: each file has a script that records it, which finds differences."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.fixtures import clones
from tests.fixtures.clones import branch, definitions, finish, rounded

FIXTURES = Path(__file__).parent / "fixtures"
SOURCE = """import nothing_that_is_installed
LIMIT = 3
def twice(value):
    return shift(value) * LIMIT
for step in ():
    if step > 3:
        if step > 4:
            other = 1
    elif step == 3:
        if step > 4:
            total = total + step
"""


@pytest.fixture
def clone(tmp_path):
    """A repository with one file, and its commit."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "code.py").write_text(SOURCE)
    name = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "code"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    (folder / "code.py").write_text("changed since")
    return folder


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*_reference.json")), ids=lambda path: path.name)
def test_every_recorded_file_has_a_script_that_records_it(path):
    scripts = [script for script in FIXTURES.glob("*.py") if path.name in script.read_text()]
    assert any(script.name.startswith("make_") or script.name.endswith("_record.py") for script in scripts)


def test_definitions_are_those_of_the_commit_without_what_the_file_imports(clone):
    found = definitions(clone, "HEAD", "code.py", ("LIMIT", "twice"), {"shift": lambda value: value + 1})
    assert found.twice(4) == 15


def test_a_branch_is_found_by_what_it_uses_wherever_it_stands(clone):
    names = {"total": 1, "step": 5}
    exec(branch(clone, "HEAD", "code.py", "step > 4", "total"), names)
    assert names["total"] == 6


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda clone: definitions(clone, "HEAD", "code.py", ("thrice",), {}), "defines no thrice"),
        (lambda clone: definitions(clone, "HEAD", "none.py", ("twice",), {}), "has no none.py at HEAD"),
        (lambda clone: definitions(clone, "0badc0de", "code.py", ("twice",), {}), "has no code.py at 0badc0de"),
        (lambda clone: branch(clone, "HEAD", "code.py", "step > 5"), "has no branch `if step > 5`"),
    ],
)
def test_what_a_clone_does_not_have_is_reported_in_one_line(clone, act, said):
    with pytest.raises(SystemExit, match=r"^[^\n]*$") as ended:
        act(clone)
    assert said in str(ended.value)


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"a": {"b": [1.0, 2.0]}, "c": [[1, [2]]]}, 0),
        ({"a": {"b": [1.0, 2.0 + 1e-9]}, "c": [[1, [2]]]}, 0),
        ({"a": {"b": [1.0, 2.1]}, "c": [[1, [2]]]}, 1),
        ({"a": {"b": [1.0]}, "c": [[1, [2]]]}, 1),
        ({"a": {"b": [1.0, 2.0]}, "c": [[1, [3]]]}, 1),
        ({"a": {"b": [1.0, 2.0]}, "c": [[1, None]]}, 1),
        ({"a": {"b": [1.0, float("nan")]}, "c": [[1, [2]]]}, 1),
        ({"a": {"b": [1.0, 2.0]}}, 1),
    ],
)
def test_a_difference_from_the_record_gives_an_exit_code(tmp_path, monkeypatch, capsys, made, code):
    monkeypatch.setattr(clones, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["make"])
    (tmp_path / "some.json").write_text(json.dumps({"a": {"b": [1.0, 2.0]}, "c": [[1, [2]]]}))
    assert finish("some.json", made, 1e-8, "make") == code
    assert ("as recorded" in capsys.readouterr().out) == (code == 0)


def test_numbers_are_rounded_wherever_they_stand():
    assert rounded({"a": [1.23456, {"b": (2.00001, 3)}]}, 3) == {"a": [1.23, {"b": [2.0, 3]}]}
