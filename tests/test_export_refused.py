"""What `export.py` refuses: one line, and nothing is written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fire_rl.training.files import write_json
from tests.fixtures import exported_runs
from tests.fixtures.exported_runs import ROOT, export

runs = exported_runs.runs
pytestmark = pytest.mark.usefixtures("unrendered_module")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "no run given"),
        (["nowhere"], "nowhere is not a run"),
        (["{dqn}@7"], "there are: "),
        (["{dqn}@x"], "allowed is RUN or RUN@STEP"),
        (["{dqn}", "--format", "onx"], "--format 'onx' given; allowed are .*; nearest is onnx"),
        (["{dqn}", "--formats", "onnx"], "did you mean --format"),
        (["{dqn}", "--card", "--format", "safetensors"], "--format given with --card"),
        (["{dqn}", "--card", "--episodes", "-1"], "--episodes -1"),
        (["{dqn}", "--format", "safetensors", "--output", "{tmp}/nowhere/policy"], "there is no folder"),
        (["{dqn}", "--format", "safetensors", "--output", "{tmp}"], "a folder; allowed is a file"),
        (["{dqn}", "--format", "safetensors", "--output", "/proc/policy"], "/proc cannot be written"),
        (["{dqn}", "--card", "--output", "/proc/card"], "/proc cannot be written"),
        (["{dqn}", "--format", "torchscript", "--output", "{tmp}/a.onnx"], "leave its ending out"),
        (["{dqn}", "--trust", "{sac}"], "the run is"),
        (["pretrained:cartpol"], "there are .*; nearest is pretrained:cartpole"),
        (["pretrained:../runs"], "there are .*pretrained:cartpole"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line_and_leaves_nothing(
    runs: dict[str, Path], words: list[str], complaint: str, tmp_path: Path
):
    if "--format" not in words and "--card" not in words:
        words = [*words, "--format", "safetensors"] if words else words
    before = {path: sorted(path.iterdir()) for path in runs.values()}
    with pytest.raises(ValueError, match=complaint) as caught:
        export(*(word.format(tmp=tmp_path, **runs) for word in words))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert {path: sorted(path.iterdir()) for path in runs.values()} == before


def test_a_mistake_ends_in_exit_code_2(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, ROOT / "export.py", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["export.py: nowhere is not a run: there is no such folder"]


def test_a_missing_package_is_named_with_its_command(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--format onnx needs onnx, .*: make setup, or pip install -e '\.\[export\]'"):
        export(runs["dqn"], "--format", "onnx", "--output", tmp_path / "policy.onnx")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    if pytest.importorskip("onnx"):
        with pytest.raises(ValueError, match=r"pip install -e '\.\[export\]'"):
            export(runs["dqn"], "--format", "onnx", "--output", tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_without_being_asked(runs: dict[str, Path], tmp_path: Path):
    path = tmp_path / "policy.safetensors"
    path.write_text("mine")
    words = (runs["sac"], "--format", "torchscript", "safetensors", "--output", tmp_path / "policy")
    with pytest.raises(ValueError, match="exists already: add --overwrite"):
        export(*words)
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.safetensors"]
    assert export(*words, "--overwrite") == 0
    assert path.read_bytes() != b"mine"


def test_a_run_without_a_checkpoint_and_one_that_diverged_are_refused(runs: dict[str, Path], tmp_path: Path):
    import shutil

    bare, ended = tmp_path / "bare", tmp_path / "diverged"
    shutil.copytree(runs["sac"], bare)
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(ValueError, match="no whole checkpoint"):
        export(bare, "--format", "safetensors")
    shutil.copytree(runs["sac"], ended)
    with (ended / "metrics.jsonl").open("a") as file:
        line = {"kind": "diverged", "environment_steps": 130, "quantity": "critic_loss", "value": "nan"}
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=r"diverged at step 130 \(critic_loss is nan\).*@120"):
        export(ended, "--format", "safetensors")
    assert export(f"{ended}@120", "--format", "safetensors") == 0


def test_a_run_without_a_policy_says_what_can_be_exported(tmp_path: Path):
    from fire_rl.training.learners import LEARNERS, config_to_json

    write_json(tmp_path / "config.json", config_to_json(LEARNERS["vision"].presets["quick"].config.resolved()))
    with pytest.raises(ValueError, match=r"train_vision\.py; only runs of"):
        export(tmp_path, "--format", "safetensors")
