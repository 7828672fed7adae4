"""The benchmarks that run on a GPU: which packages a machine must have for which part."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks.gpu.conduct import ROOT
from benchmarks.gpu.parts import PARTS

ALWAYS = "torch", "numpy"
# Python imports this module at its start, so that packages are missing in all processes that a command starts.
MISSING = """
import sys
from importlib.machinery import PathFinder

class Limited(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {missing} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Limited
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_requirements(names: tuple[str, ...]) -> set[str]:
    """Return the names of these distributions and of all that they need themselves."""
    found, open_ = set(), [normal(name) for name in names]
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:  # for another system
                continue
            open_ += [normal(re.split(r"[^\w.-]", each)[0]) for each in needed if "extra ==" not in each]
    return found


def bare(folder: Path, *packages: str) -> dict[str, str]:
    """Return the environment of a process that can import only torch, NumPy, these packages, and what they need."""
    allowed = with_requirements((*ALWAYS, *packages))
    installed = metadata.packages_distributions()
    missing = {name for name, whose in installed.items() if allowed.isdisjoint(map(normal, whose))}
    assert "mujoco" in missing
    assert "torch" not in missing
    (folder / "sitecustomize.py").write_text(MISSING.format(missing=missing - {"fire_rl", "benchmarks"}))
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("needs", ["", "gymnasium"])
def test_parts_import_only_the_packages_that_they_say(needs: str, tmp_path: Path):
    modules = sorted({part.entry.partition(":")[0] for part in PARTS.values() if part.needs == needs})
    program = f"""if 1:
        import importlib
        import benchmarks.gpu.__main__, benchmarks.gpu.child
        for name in {modules}:
            importlib.import_module(name, "benchmarks.gpu")
    """
    environment = bare(tmp_path, *needs.split())
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert said.stderr == ""
    assert len(modules) == {"": 1, "gymnasium": 6}[needs]


def test_a_missing_package_fails_only_its_part_and_is_named(tmp_path: Path):
    out = tmp_path / "found"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--out", str(out), "--parts"]
    said = subprocess.run([*command, "fire", "card"], cwd=ROOT, env=bare(tmp_path), capture_output=True, text=True)
    assert said.returncode == 1
    parts = json.loads((out / "results.json").read_text())["parts"]
    assert parts["fire"]["error"] == (
        "ModuleNotFoundError: No module named 'gymnasium'; besides torch and NumPy this part needs gymnasium"
    )
    assert "error" not in parts["card"]


@pytest.mark.slow
def test_parts_run_with_only_the_packages_that_they_say(tmp_path: Path):
    names = [part.name for part in PARTS.values() if part.needs in ("", "gymnasium")]
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--minutes", "30"]
    said = subprocess.run(
        [*command, "--out", str(tmp_path / "found"), "--parts", *names],
        cwd=ROOT, env=bare(tmp_path, "gymnasium"), capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout
