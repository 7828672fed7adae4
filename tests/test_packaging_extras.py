"""The command that the message of a missing package gives."""

import re
import tomllib
from pathlib import Path

import pytest

from fire_rl import place

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def extras_asked_for() -> set[str]:
    """Return the extras that messages in the code name."""
    rooms = ("agents", "commands", "data", "envs", "experiments", "remote", "replay", "training")
    code = "".join(path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py"))
    return set(re.findall(r"""\binstall\(["'](\w+)["']\)""", code))


def test_every_extra_that_a_message_names_exists_and_comes_with_the_named_set_up():
    asked = extras_asked_for()
    assert {"atari", "dmc", "envs", "export", "minatar", "ray", "text", "track", "train", "video", "vision"} <= asked
    assert asked <= EXTRAS.keys()
    installed = re.search(r"--editable \"\.\[([\w,]+),\$extra\]\"", (ROOT / ".ci/setup").read_text())
    assert installed, "the line of .ci/setup that installs the extras"
    brought = {*installed[1].split(",")} | {"envs"}  # the extra train asks for it
    assert asked - {*place.OF_DEVELOPERS} <= brought
    for name in place.OF_DEVELOPERS:
        assert name in asked
        assert any(f"[{name}" in need or f",{name}" in need or need.startswith(name) for need in EXTRAS["dev"])


@pytest.mark.parametrize(
    ("checkout", "version", "extra", "said"),
    [
        (True, (3, 11), "video", "make setup, or pip install -e '.[video]' in the checkout"),
        (True, (3, 11), "track", "make setup-dev, or pip install -e '.[track]' in the checkout"),
        (False, (3, 11), "track", "pip install 'fire-rl[track]'"),
        (False, (3, 12), "dmc", "pip install 'fire-rl[dmc]'"),
        (False, (3, 13), "dmc", "pip install 'fire-rl[dmc]' && pip install --no-deps dm_control"),
    ],
)
def test_the_command_fits_the_kind_of_installation(
    monkeypatch: pytest.MonkeyPatch, checkout: bool, version: tuple[int, int], extra: str, said: str
):
    monkeypatch.setattr(place, "IN_A_CHECKOUT", checkout)
    monkeypatch.setattr("sys.version_info", version)
    assert place.install(extra) == said


def test_no_message_contains_the_command_of_an_extra_itself():
    own = {"envs/original/package.py", "remote/upload.py"}  # packages that belong to no extra
    for room in ("agents", "commands", "data", "envs", "experiments", "remote", "replay", "training"):
        for path in (ROOT / room).rglob("*.py"):
            if str(path.relative_to(ROOT)) not in own:
                assert "pip install" not in path.read_text(), path
