"""The wheel installs one name, `fire_rl`, and lives beside the index's own `fire` package."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"fire": "fire_rl", "envs": "fire_rl/envs", "replay": "fire_rl/replay", "data": "fire_rl/data"}
NOT_SHIPPED = shutil.ignore_patterns("__pycache__")


def run(*command: str | Path, **variables: str) -> str:
    """What a command prints; its whole output in the failure if it fails."""
    environment = os.environ | variables
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its own folders in the tree it builds from."""
    source = tmp_path_factory.mktemp("source")
    for folder in (*ROOMS, "agents", "experiments", "training", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source)
    return next((source / "dist").glob("fire_rl-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index's `fire` and our wheel; without a network, with something of that name."""
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder)
    try:
        run(*pip, "--timeout", "3", "--retries", "0", "fire", PIP_DEFAULT_TIMEOUT="3")
    except AssertionError:
        (folder / "fire").mkdir(exist_ok=True)
        (folder / "fire/__init__.py").write_text("def Fire(): ...\n")
    run(*pip, "--no-deps", "--no-index", wheel)
    return folder


def test_every_folder_of_the_ground_rooms_is_listed() -> None:
    tree = {
        "/".join([ROOMS[room], *file.parent.relative_to(ROOT / room).parts]).replace("/", ".")
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
    }
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(setuptools["packages"]) == tree, "list the new folder in pyproject.toml, [tool.setuptools] packages"
    assert setuptools["package-dir"] == {name.replace("/", "."): room for room, name in ROOMS.items()}


def test_wheel_holds_every_file_of_the_ground_rooms_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{name}/{file.relative_to(ROOT / room)}"
        for room, name in ROOMS.items()
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == expected
    assert "fire_rl/py.typed" in files


def test_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(
            next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        ).decode()
    for line in ("Name: fire-rl", "Version: 0.1.0", "License-Expression: MIT", "Requires-Python: >=3.11"):
        assert line in metadata.splitlines()
    assert "Requires-Dist: torch>=" in metadata


def test_both_packages_named_fire_can_be_used_together(site: Path, tmp_path: Path) -> None:
    program = """
import fire, fire_rl, fire_rl.data, fire_rl.envs, fire_rl.replay, torch
fire.Fire
print(fire.__file__, fire_rl.__file__, fire_rl.envs.__file__, fire_rl.replay.__file__, fire_rl.data.__file__, sep="\\n")
layer = torch.nn.Linear(8, 4)
fire_rl.fire_(layer, solver="exact")
assert max(fire_rl.deviation_from_isometry(layer).values()) < 1e-6
environment = fire_rl.envs.make("h1-walk", seed=0)
environment.reset()
environment.step(environment.action_space.sample())
"""
    printed = run("/usr/bin/env", "-C", tmp_path, sys.executable, "-c", program, PYTHONPATH=str(site))
    places = ["fire", "fire_rl", "fire_rl/envs", "fire_rl/replay", "fire_rl/data"]
    assert printed.splitlines() == [str(site / place / "__init__.py") for place in places]
    ours = {*ROOMS, "agents", "experiments", "training", "tests"} - {"fire"}
    assert not {path.name for path in site.iterdir()} & ours
