"""The wheel: everything under one name, `fire_rl`, and the library alone where only torch and numpy are installed."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from fire_rl import __version__

ROOT = Path(__file__).parent.parent
ROOMS = ("agents", "commands", "data", "envs", "experiments", "fire", "remote", "replay", "training", "pretrained")
TORCH_NEEDS = (
    "torch",
    "torchgen",
    "functorch",
    "numpy",
    "typing_extensions",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "fsspec",
)
TINY = [
    *("--preset", "quick", "--env", "CartPole-v1", "--steps", "120", "--learning-starts", "20", "--eval-every", "60"),
    *("--eval-steps", "20", "--hidden-width", "8", "--threads", "1", "--device", "cpu"),
]


def run(*command: str | Path, code: int = 0, **variables: str) -> str:
    """Return what a command prints. If its exit code is another one, the failure shows all of its output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel made of it, as on a package index, from a copy of the checkout."""
    source = tmp_path_factory.mktemp("source")
    for folder in (*ROOMS, "fire_rl", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "train_sac.py", "compare.py"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source)
    return source / "dist"


def environment(folder: Path, wheel: Path, packages: Iterable[Path]) -> Path:
    """Return the Python of a new environment with our wheel and links to only these installed packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python3.*")) / "site-packages"
    for package in packages:
        (site / package.name).symlink_to(package)
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--python",
        folder / "bin/python",
        *("install", "--quiet", "--no-deps", "--no-index"),
    )
    run(*pip, "--disable-pip-version-check", wheel)
    return folder / "bin/python"


def installed() -> Path:
    """Return the folder of this environment's packages."""
    return Path(str(metadata.distribution("torch").locate_file("")))


def of_torch(path: Path) -> bool:
    """Say whether this is a package that torch needs, or the metadata of one."""
    return re.split(r"[-.]", path.name)[0].lower() in TORCH_NEEDS


@pytest.fixture(scope="module")
def alone(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with torch, numpy, what torch needs, and our wheel."""
    site = installed()
    names = [path for path in site.iterdir() if of_torch(path)]
    return environment(tmp_path_factory.mktemp("alone"), next(built.glob("*.whl")), names)


@pytest.fixture(scope="module")
def whole(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with everything that is installed here, our wheel instead of the checkout, and another `fire`."""
    others = [
        path
        for path in installed().iterdir()
        if not re.match(r"__editable__|fire_rl|fire-rl|__pycache__|pip", path.name)
    ]
    python = environment(tmp_path_factory.mktemp("whole"), next(built.glob("*.whl")), others)
    other = next((python.parent.parent / "lib").glob("python3.*")) / "site-packages/fire"
    other.mkdir()
    (other / "__init__.py").write_text("def Fire(): ...\n")
    return python


def test_the_wheel_holds_every_room_under_one_name_and_nothing_else(built: Path):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        named = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        said = archive.read(named).decode()
    expected = {f"fire_rl/{path.name}" for path in (ROOT / "fire_rl").glob("*.py")} | {"fire_rl/py.typed"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"fire_rl/{path.relative_to(ROOT)}")
    assert files == expected
    for line in ("Name: fire-rl", f"Version: {__version__}", "License-Expression: MIT", "Requires-Python: >=3.11"):
        assert line in said.splitlines()
    needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", said, re.MULTILINE)
    assert needed == ["torch", "numpy"]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_library_needs_only_torch_and_numpy(alone: Path, tmp_path: Path):
    program = """
import sys, time, torch
begin = time.perf_counter()
import fire_rl
from fire_rl import PlasticityManager, fire_
print("seconds", time.perf_counter() - begin)
layer = torch.nn.Linear(8, 4)
print(fire_(layer, solver="exact"))
assert max(fire_rl.deviation_from_isometry(layer).values()) < 1e-6
assert not {"gymnasium", "mujoco", "tyro", "matplotlib"} & sys.modules.keys()
assert "fire_" in dir(fire_rl)
"""
    run("/usr/bin/env", "-C", tmp_path, alone, "-c", program)
    there = ("/usr/bin/env", "-C", tmp_path, alone, "-m", "fire_rl")
    assert __version__ in run(*there, "--version")
    said = run(*there, "sac", "--env", "h1-walk", code=2)
    assert re.fullmatch(r"fire-rl sac: \w+ is not installed: pip install 'fire-rl\[train\]'\n", said)
    assert "did you mean sac?" in run(*there, "sacc", code=2)


def test_an_installed_command_trains_resumes_and_compares(whole: Path, tmp_path: Path):
    command = whole.parent / "fire-rl"
    there = ("/usr/bin/env", "-C", tmp_path, command)
    assert "usage: fire-rl COMMAND" in run(*there)
    said = run(*there, "dqn", *TINY, "--reinit", "fire", "--run-dir", "run")
    assert "fire-rl evaluate run --episodes 100" in said
    run(*there, "dqn", "--resume", "run", "--steps", "180")
    assert "return   500.0" in run(*there, "evaluate", "pretrained:cartpole", "--episodes", "1")
    assert "CartPole-v1, checkpoint at step 180" in run(*there, "evaluate", "run", "--episodes", "2")
    said = run(*there, "compare", "--agent", "dqn", *TINY, "--reinit", "none", "own:Mine", "--seeds", "0",
               "--dir", "c", code=2)  # fmt: skip
    assert said.startswith("fire-rl compare: ")
    (tmp_path / "own.py").write_text("from fire_rl import Reset\n\n\nclass Mine(Reset):\n    'Of one own.'\n")
    said = run(*there, "compare", "--agent", "dqn", *TINY, "--reinit", "none", "own:Mine", "--seeds", "0",
               "--dir", "c")  # fmt: skip
    assert "CartPole-v1-own_Mine-seed0: finished" in said
    assert (tmp_path / "c/report.html").exists()


def test_an_installed_run_is_tracked_by_a_users_own_class(whole: Path, tmp_path: Path):
    (tmp_path / "mine.py").write_text("class Console:\n    def begin(self, about):\n        return 'this console'\n")
    program = """
import time
from fire_rl.training.tracking.process import TrackerProcess
tracker = TrackerProcess("mine:Console")
tracker.require_ready()
tracker.tell("begin", about={})
tracker.tell("finish", ending="finished", summary={})
while tracker.exchange():
    time.sleep(0.01)
tracker.close()
print(tracker.where, tracker.lost)
"""
    assert run("/usr/bin/env", "-C", tmp_path, whole, "-c", program) == "this console None\n"


def test_two_packages_named_fire_can_be_used_together(whole: Path, tmp_path: Path):
    program = """
import fire, fire_rl, fire_rl.data, fire_rl.envs, fire_rl.replay, fire_rl.fire
fire.Fire
print(fire.__file__, fire_rl.__file__, fire_rl.envs.__file__, fire_rl.fire.__file__, sep="\\n")
environment = fire_rl.envs.make("h1-walk", seed=0)
environment.reset()
environment.step(environment.action_space.sample())
"""
    printed = run("/usr/bin/env", "-C", tmp_path, whole, "-c", program)
    site = next((whole.parent.parent / "lib").glob("python3.*")) / "site-packages"
    places = ["fire", "fire_rl", "fire_rl/envs", "fire_rl/fire"]
    assert printed.splitlines() == [str(site / place / "__init__.py") for place in places]
    assert not {path.name for path in site.iterdir()} & {*ROOMS, "tests"} - {"fire"}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_everything_installs_by_name_into_a_fresh_environment(built: Path, tmp_path: Path, version: str):
    """As for a user, except for torch: the CPU build, which is the one that is installed here."""
    interpreter = interpreter_of(version)
    if interpreter is None:
        pytest.skip(f"Python {version} is not installed")
    run(interpreter, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        site = next((tmp_path / "env/lib").glob("python3.*")) / "site-packages"
        for package in installed().iterdir():
            if of_torch(package) and not (site / package.name).exists():
                (site / package.name).symlink_to(package)
    elif subprocess.run([python, "-m", "pip", "install", "--quiet", "--timeout", "10", "--retries", "1", "torch",
                         "--index-url", "https://download.pytorch.org/whl/cpu"], check=False).returncode:  # fmt: skip
        pytest.skip("torch's own index, which has the CPU builds, cannot be reached")
    wheel = next(built.glob("*.whl"))
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", f"{wheel}[all]")
    there = ("/usr/bin/env", "-C", tmp_path, tmp_path / "env/bin/fire-rl")
    quick = ("--preset", "quick", "--env", "h1-stand", "--steps", "400", "--learning-starts", "100")
    run(*there, "sac", "--reinit", "fire", *quick, "--eval-every", "200", "--eval-episodes", "1", "--run-dir", "run")
    assert "checkpoint at step 400" in run(*there, "evaluate", "run", "--episodes", "1")


def interpreter_of(version: str) -> Path | None:
    """Return the interpreter of this version that runs, from the system or from pyenv."""
    named = shutil.which(f"python{version}")
    kept = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for place in ([Path(named)] if named else []) + [*kept]:
        if subprocess.run([place, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return place
    return None
