"""`.ci/setup`, the script behind `make setup`, with a replacement for Python that records what it should install."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Answers like an interpreter of $FAKE_VERSION. "-m venv" copies itself; "-m pip" records its arguments in $FAKE_LOG,
# and fails for arguments that contain $FAKE_FAILURE.
STAND_IN = r"""#!/usr/bin/env bash
case "$*" in
  *'sys.exit(not (3, 11)'*) case $FAKE_VERSION in 3.11.* | 3.12.* | 3.13.*) exit 0 ;; *) exit 1 ;; esac ;;
  *'import venv, ensurepip'*) [ -z "${FAKE_WITHOUT_VENV:-}" ] ;;
  *sys._base_executable*) echo "$FAKE_VERSION ${0%/*/*}/bin/python3" ;;
  '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "venv $FAKE_VERSION" >>"$FAKE_LOG" ;;
  '-m pip '*) echo "$*" >>"$FAKE_LOG"; [ -z "${FAKE_FAILURE:-}" ] || [[ "$*" != *"$FAKE_FAILURE"* ]] ;;
esac
"""


@dataclass(frozen=True)
class Sandbox:
    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    def setup(self, *, version: str = "3.12.1", **variables: str) -> tuple[int, str, list[str]]:
        """Run the script in a copy of the checkout. Return its exit code, its output, and the calls of Python."""
        log = self.folder / "log"
        log.write_text("")
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "VENV": str(self.venv),
            "FAKE_VERSION": version,
            "FAKE_LOG": str(log),
            **variables,
        }
        command = [str(self.folder / "checkout/.ci/setup")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    (tmp_path / "checkout/.ci").mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "constraints.txt", ".ci/setup"):
        shutil.copy(ROOT / name, tmp_path / "checkout" / name)
    (tmp_path / "bin").mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    return Sandbox(tmp_path)


def test_second_call_installs_nothing(sandbox: Sandbox) -> None:
    status, _, asked = sandbox.setup(TORCH="cpu")
    assert status == 0
    assert asked[0] == "venv 3.12.1"
    assert any("torch==" in line and "download.pytorch.org/whl/cpu" in line for line in asked)
    assert any(".[train,atari,dmc,minatar,text,video,vision,export,test]" in line for line in asked)
    assert "--no-deps dm-control==" in asked[-1]
    for variables in ({"TORCH": "cpu"}, {}, {"PYTHON": "python3.12"}):
        status, said, asked = sandbox.setup(**variables)
        assert (status, asked) == (0, [])
        assert "is ready" in said


def test_unreachable_cpu_index_falls_back_to_the_usual_one(sandbox: Sandbox) -> None:
    status, said, asked = sandbox.setup(TORCH="cpu", FAKE_FAILURE="download.pytorch.org")
    assert status == 0
    assert "installing the usual index's build" in said
    attempt, fallback = (line for line in asked if "torch==" in line)
    assert "--timeout 10 --retries 1" in attempt
    assert "index-url" not in fallback


@pytest.mark.parametrize("point", ["setuptools", "torch==", "--editable"])
def test_interrupted_setup_starts_again_from_nothing(sandbox: Sandbox, point: str) -> None:
    status, _, _ = sandbox.setup(TORCH="cpu", FAKE_FAILURE=point)
    assert status != 0
    (sandbox.venv / "half-written").touch()
    status, _, asked = sandbox.setup(TORCH="cpu")
    assert (status, asked[0]) == (0, "venv 3.12.1")
    assert not (sandbox.venv / "half-written").exists()


@pytest.mark.parametrize("change", [{"TORCH": "cuda"}, {"TORCH": "cpu", "version": "3.13.0", "PYTHON": "python3.13"}])
def test_another_torch_or_python_makes_a_new_environment(sandbox: Sandbox, change: dict[str, str]) -> None:
    sandbox.setup(TORCH="cpu")
    (sandbox.venv / "old").touch()
    status, _, asked = sandbox.setup(**change)
    assert status == 0
    assert asked[0].startswith("venv")
    assert not (sandbox.venv / "old").exists()
    torch_lines = [line for line in asked if "torch==" in line]
    assert len(torch_lines) == 1
    assert ("whl/cpu" in torch_lines[0]) == (change["TORCH"] == "cpu")


def test_changed_constraints_are_installed_in_place(sandbox: Sandbox) -> None:
    sandbox.setup(TORCH="cpu")
    with (sandbox.folder / "checkout/constraints.txt").open("a") as file:
        file.write("\n# changed\n")
    status, _, asked = sandbox.setup()
    assert status == 0
    assert asked
    assert not any(line.startswith("venv") for line in asked)


def test_environment_made_by_others_is_never_deleted(sandbox: Sandbox) -> None:
    (sandbox.venv / "bin").mkdir(parents=True)
    shutil.copy(sandbox.folder / "bin/python3", sandbox.venv / "bin/python")
    for failure, expected in (("--editable", 1), ("", 0)):
        status, _, asked = sandbox.setup(TORCH="cpu", FAKE_FAILURE=failure)
        assert status == expected
        assert not any(line.startswith("venv") for line in asked)
    (sandbox.folder / "documents").mkdir()
    status, said, asked = sandbox.setup(VENV=str(sandbox.folder / "documents"))
    assert (status, asked) == (1, [])
    assert "is not a virtual environment" in said


def test_torch_follows_the_driver_and_the_users_choice(sandbox: Sandbox) -> None:
    driver = sandbox.folder / "bin/nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: a GPU'\n")
    driver.chmod(0o755)
    _, _, asked = sandbox.setup()
    assert any("!=" in line for line in asked if "torch==" in line)
    _, _, asked = sandbox.setup(TORCH="cpu")
    assert any("whl/cpu" in line for line in asked)
    assert sandbox.setup()[2] == []  # and the choice is kept


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"TORCH": "gpu"}, "setup: TORCH=gpu given; allowed are cpu and cuda"),
        ({"version": "3.10.4"}, "setup: no Python 3.11, 3.12 or 3.13 found"),
        ({"version": "3.10.4", "PYTHON": "python3"}, "setup: PYTHON=python3 is not a working Python 3.11"),
        ({"PYTHON": "/nowhere/python"}, "setup: PYTHON=/nowhere/python is not a working Python 3.11"),
        ({"FAKE_WITHOUT_VENV": "1"}, "setup: python3.11 lacks the venv module"),
    ],
)
def test_what_is_missing_is_reported_in_one_line(sandbox: Sandbox, variables: dict[str, str], line: str) -> None:
    status, said, asked = sandbox.setup(**variables)
    assert (status, asked) == (1, [])
    assert said.startswith(line)
    assert said.count("\n") == 1
    assert not os.path.lexists(sandbox.venv)
