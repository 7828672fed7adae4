"""What goes wrong around a run costs nothing that it has, and is said in one line."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from benchmarks.differences import differences
from fire_rl.commands import slim as slim_script
from fire_rl.commands.train import train_sac
from fire_rl.training import load_policy
from fire_rl.training.checkpoint import checksum_of, folder_of, steps_of
from fire_rl.training.files import claimed, read_json, write_json
from fire_rl.training.lines import read_lines

pytestmark = pytest.mark.usefixtures("unrendered_module")
ROOT = Path(__file__).parent.parent
SMALL = [
    *("--learning-starts", "40", "--critic-width", "8", "--actor-width", "8", "--batch-size", "16"),
    *("--eval-episodes", "1", "--threads", "1", "--device", "cpu", "--action-repeat", "1", "--replay-ratio", "0.25"),
]
TINY = [
    *("--env", "Pendulum-v1", "--steps", "400", "--eval-every", "200", "--log-every", "50"),
    *("--checkpoint-every", "110", *SMALL),
]
BROKEN = ["--eval-every", "1000", "--log-every", "20", "--checkpoint-every", "60", "--steps", "300", *SMALL]
WORLDS = "tests.fixtures.broken_worlds"
METHODS = "tests.fixtures.own_methods"


def train(*arguments: str, code: int = 0, body: Callable[[list[str]], int] = train_sac) -> str:
    """Everything that is said; the exit code is that of the command line."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            returned = body(list(arguments))
        except ValueError as error:
            returned = 2
            print(error)
    assert returned == code, output.getvalue()
    return output.getvalue()


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(*TINY, "--run-dir", str(folder))
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


# What holds results is deleted by nobody who was not asked


def test_deleted_checkpoints_are_no_reason_to_train_again_from_the_start(copy: Path):
    shutil.rmtree(copy / "checkpoints")
    shutil.rmtree(copy / "replay")
    metrics = (copy / "metrics.jsonl").read_bytes()
    said = train("--resume", str(copy), code=2)
    assert "has metrics up to step 400 but no checkpoint any more" in said
    assert "--restart True" in said
    assert (copy / "metrics.jsonl").read_bytes() == metrics


def test_a_restart_that_is_asked_for_trains_again_from_the_start(whole: Path, copy: Path):
    shutil.rmtree(copy / "checkpoints")
    assert "begins again at step 0" in train("--resume", str(copy), "--restart", "True")
    assert differences(whole, copy) == []


def test_a_metrics_file_cut_in_the_middle_of_a_line_goes_on(copy: Path):
    path = copy / "metrics.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\n", len(content) // 3) - 7])
    whole_lines = path.read_bytes().count(b"\n")
    said = train("--resume", str(copy), "--steps", "420")
    assert "metrics.jsonl has" in said
    assert "bytes that it had at the checkpoint" in said
    lines = path.read_bytes().splitlines()
    assert len(lines) == len(read_lines(path)) > whole_lines, "each line is whole"


def test_a_deleted_metrics_file_is_said_to_be_missing(copy: Path):
    (copy / "metrics.jsonl").unlink()
    for events in copy.glob("events.*"):
        events.unlink()
    said = train("--resume", str(copy), "--steps", "420")
    assert "metrics.jsonl is missing" in said
    assert "events.out.tfevents" in said


def test_a_branch_of_a_trunk_without_its_history_says_so(copy: Path, tmp_path: Path):
    (copy / "metrics.jsonl").unlink()
    for events in copy.glob("events.*"):
        events.unlink()
    said = train("--branch-from", f"{copy}@330", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert "the trunk's history is incomplete" in said


def test_a_branch_that_does_not_fit_leaves_nothing(copy: Path, tmp_path: Path):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"agent": settings["agent"] | {"critic_width": 9}})
    said = train("--branch-from", f"{copy}@330", "--reinit", "none", "--run-dir", str(tmp_path / "a" / "b"), code=2)
    assert "says --critic-width 9, but the checkpoint at step 330 was made with 8" in said
    assert not (tmp_path / "a").exists()


def test_hard_links_of_a_copied_run_keep_their_own_history(whole: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-al", str(whole), str(copy)], check=True)
    metrics = (whole / "metrics.jsonl").read_bytes()
    train("--resume", str(copy), "--steps", "450")
    assert (whole / "metrics.jsonl").read_bytes() == metrics


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    assert "is not empty" in train(*TINY, "--run-dir", str(tmp_path), code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_diverged_run_without_a_checkpoint_is_not_begun_again_unasked(tmp_path: Path):
    folder = tmp_path / "run"
    diverged(folder, *TINY, "--learning-rate", "1e30", "--checkpoint-every", "1000")
    metrics = (folder / "metrics.jsonl").read_bytes()
    assert "diverged before its first checkpoint" in train("--resume", str(folder), code=2)
    assert (folder / "metrics.jsonl").read_bytes() == metrics
    train(str(folder), code=1, body=slim_script.body)  # it has no policy that would stay


def test_a_folder_is_locked_before_it_is_looked_at(tmp_path: Path):
    folder = tmp_path / "run"
    with claimed(folder):
        assert "in use by another process" in train(*TINY, "--run-dir", str(folder), code=2)
    assert not folder.exists(), "nothing came of it"


# Slimmed runs


def test_a_slimmed_run_keeps_its_policy_and_its_records(copy: Path):
    metrics, actions = (copy / "metrics.jsonl").read_bytes(), load_policy(copy).act(torch.zeros(3).numpy())
    assert "MB freed" in train(str(copy), body=slim_script.body)
    assert not list((copy / "replay").iterdir())
    assert steps_of(copy) == [400]
    assert (copy / "metrics.jsonl").read_bytes() == metrics
    assert (load_policy(copy).act(torch.zeros(3).numpy()) == actions).all()
    assert "was slimmed" in train("--resume", str(copy), "--steps", "500", code=2)
    assert "was slimmed" in train("--branch-from", f"{copy}@400", "--reinit", "fire", "--steps", "500", code=2)
    assert (copy / "metrics.jsonl").read_bytes() == metrics


def test_a_run_can_be_slimmed_as_soon_as_it_has_finished(tmp_path: Path):
    folder = tmp_path / "run"
    said = train(*TINY, "--keep-replay", "False", "--checkpoint-at", "100", "--run-dir", str(folder))
    assert "freed" in said
    assert steps_of(folder) == [100, 400], "the newest, and what was asked for"
    assert not list((folder / "replay").iterdir())
    assert load_policy(folder, 100).step == 100


def test_the_policy_that_stays_is_one_that_is_whole(copy: Path):
    (folder_of(copy, 400) / "agent.safetensors").write_bytes(b"")
    train(str(copy), body=slim_script.body)
    assert steps_of(copy) == [330]
    assert load_policy(copy).step == 330


def test_a_run_in_progress_is_not_slimmed(copy: Path):
    lines = (copy / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
    assert "the run has not finished" in train(str(copy.parent), code=1, body=slim_script.body)
    assert list((copy / "replay").iterdir())


# Telling, drawing and stopping


@pytest.mark.parametrize("name", ["draw_measures", "draw_curve"])
def test_a_picture_that_cannot_be_drawn_ends_nothing(copy: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"fire_rl.training.reporter.{name}", full)
    said = train("--resume", str(copy), "--steps", "420")
    assert "No space left on device); going on" in said


def test_a_full_disk_ends_in_one_line_and_a_run_that_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "run"
    real = os.fsync

    def full(descriptor: int) -> None:
        if (folder / "checkpoints" / f"{110:012d}").exists():
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = train(*TINY, "--run-dir", str(folder), code=1)
    assert "No space left on device" in last_line(said)
    assert "the last whole checkpoint is at step 110" in last_line(said)
    train("--resume", str(folder))
    assert differences(whole, folder) == []


def begun(folder: Path, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    """A run in a process of its own that has written some metrics."""
    command = [sys.executable, "train_sac.py", *arguments, "--run-dir", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, preexec_fn=_heed_hangups, **options)
    deadline = time.monotonic() + 600
    while not (folder / "metrics.jsonl").exists() or (folder / "metrics.jsonl").stat().st_size < 300:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def _heed_hangups() -> None:
    """Also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_terminal_that_is_gone_leaves_a_checkpoint(tmp_path: Path):
    folder = tmp_path / "run"
    long = ["--env", "Pendulum-v1", "--steps", "100000", "--log-every", "10", *SMALL]
    process = begun(folder, *long, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(600) == 130
    assert steps_of(folder)


def test_an_environment_that_hangs_is_left_when_a_stop_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "run"
    monkeypatch.setenv("HANGING", str(tmp_path / "hanging"))
    arguments = ["--env", f"{WORLDS}:Broken-hanging-v0", *BROKEN]
    process = begun(folder, *arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while not (tmp_path / "hanging").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"the environment has not returned" in errors


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uninterrupted, with an event at step 200."""
    folder = tmp_path_factory.mktemp("runs") / "fired"
    train(*TINY, "--reinit", "fire", "--reinit-at", "200", "--run-dir", str(folder))
    return folder


@pytest.mark.parametrize(("looks", "owed"), [(50, "scheduled"), (450, "after event"), (900, None)])
def test_a_stop_breaks_off_an_evaluation_which_is_made_again(
    fired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, owed: str | None
):
    """One look at whether a stop was asked for in each decision, of training and of evaluations that may break off."""
    arguments = [*TINY, "--reinit", "fire", "--reinit-at", "200"]

    @contextlib.contextmanager
    def asked_for_after_some_looks(calls: Any) -> Iterator[Callable[[], bool]]:
        left = iter(range(looks))
        yield lambda: next(left, None) is None

    with monkeypatch.context() as patch:
        patch.setattr("fire_rl.training.session.stop_signals", asked_for_after_some_looks)
        said = train(*arguments, "--run-dir", str(tmp_path / "stopped"), code=130)
    assert "with a checkpoint" in said
    values = read_json(folder_of(tmp_path / "stopped", steps_of(tmp_path / "stopped")[-1]) / "state.json")
    assert values["progress"]["owes"] == owed, "nothing where the boundary had begun with a checkpoint"
    train("--resume", str(tmp_path / "stopped"))
    assert differences(fired, tmp_path / "stopped") == []
    assert not list((tmp_path / "stopped" / "checkpoints").glob("damaged*"))


@pytest.mark.parametrize("arguments", [["--help"], [*TINY, "--steps", "80", "--run-dir", "{}"]])
def test_a_reader_that_leaves_is_no_fault(tmp_path: Path, arguments: list[str]):
    words = " ".join(argument.format(tmp_path / "run") for argument in arguments)
    command = f"{sys.executable} train_sac.py {words} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_output_that_cannot_be_written_is_said_once_and_ends_nothing(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    command = f"{sys.executable} train_sac.py {' '.join(TINY)} --run-dir {folder} > /dev/full"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("standard output cannot be written to (No space left on device)") == 1
    assert differences(whole, folder) == []


# Divergence


def diverged(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    said = train(*arguments, "--run-dir", str(folder), code=3)
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["kind"] == "diverged"
    assert f"diverged at step {line['environment_steps']:,}, update {line['updates']:,}: {line['quantity']}" in said
    return last_line(said), line


def test_a_learning_rate_that_is_too_high_is_said_where_it_shows(tmp_path: Path):
    said, line = diverged(tmp_path / "run", *TINY, "--learning-rate", "1e30")
    assert line["value"] in ("nan", "inf", "-inf")
    assert "try a lower --learning-rate than 1e+30" in said


@pytest.mark.parametrize(
    ("fault", "quantity", "value"),
    [
        ("observation", "observation", "nan"),
        ("infinity", "observation", "inf"),
        ("reward", "reward", "nan"),
        ("none", "reward", "nan"),
    ],
)
def test_an_environment_that_gives_no_number_is_named_at_its_step(
    tmp_path: Path, fault: str, quantity: str, value: str
):
    name = f"{WORLDS}:Broken-{fault}-v0"
    said, line = diverged(tmp_path / "run", "--env", name, *BROKEN)
    assert (line["quantity"], line["value"]) == (quantity, value)
    assert line["environment_steps"] == 149, "the decision before it could be counted"
    assert f"{name} gave it" in said


def test_a_method_that_writes_no_numbers_is_named(tmp_path: Path):
    method = f"{METHODS}:Spoiling"
    said, line = diverged(tmp_path / "run", *TINY, "--reinit", method, "--reinit-at", "150")
    assert line["environment_steps"] == 150
    assert line["quantity"].endswith(f"of the actor after {method}")
    assert "the last good checkpoint is at step 110" in said


def test_a_checkpoint_of_a_diverged_network_is_not_gone_on_from(copy: Path):
    spoil(folder_of(copy, 400))
    said = train("--resume", str(copy), "--steps", "420")
    assert "checkpoint at step 400 is damaged" in said
    assert "the network had diverged" in said
    assert "continuing at step 330" in said


def test_a_policy_of_a_diverged_network_is_not_used(copy: Path):
    spoil(folder_of(copy, 400))
    with pytest.raises(ValueError, match="the network had diverged"):
        load_policy(copy, 400)
    with pytest.warns(UserWarning, match="diverged"):
        assert load_policy(copy).step == 330


def spoil(checkpoint: Path) -> None:
    """A NaN in a weight, under right checksums."""
    tensors = safetensors.torch.load_file(checkpoint / "agent.safetensors")
    tensors["critic.value.weight"][0] = torch.nan
    safetensors.torch.save_file(tensors, checkpoint / "agent.safetensors")
    manifest = read_json(checkpoint / "manifest.json")
    del manifest["checksum"]
    manifest["files"]["agent.safetensors"] = sha256((checkpoint / "agent.safetensors").read_bytes()).hexdigest()
    write_json(checkpoint / "manifest.json", manifest | {"checksum": checksum_of(manifest)})


# Equal bits


@pytest.mark.parametrize(
    ("group", "name", "value"), [("run", "seed", 9), ("run", "replay_ratio", 1.0), ("agent", "learning_rate", 0.5)]
)
def test_a_run_whose_settings_were_edited_is_refused(copy: Path, group: str, name: str, value: float):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {group: settings[group] | {name: value}})
    said = train("--resume", str(copy), "--steps", "420", code=2)
    assert f"says --{name.replace('_', '-')} {value}, but the checkpoint at step 400 was made with" in said


def test_other_versions_and_threads_are_said_and_recorded(copy: Path):
    settings = read_json(copy / "config.json")
    changed = settings | {"run": settings["run"] | {"threads": 2}, "processor": "another"}
    write_json(copy / "config.json", changed)
    said = train("--resume", str(copy), "--steps", "420")
    assert "threads 1, now 2" in said
    assert "config.json was edited since the checkpoint was made: processor" in said
    recorded = read_json(copy / "config.json")["continued"]
    assert recorded[0]["step"] == 400
    assert recorded[0]["machine"]["processor"] != "another"
    assert "was edited" not in train("--resume", str(copy), "--steps", "440"), "said once"
    torch.set_num_threads(1)


# Code of one's own


def test_code_that_only_a_run_s_files_name_is_not_imported(tmp_path: Path):
    folder, method = tmp_path / "run", f"{METHODS}:Halving"
    said = train(*TINY, "--reinit", method, "--reinit-at", "150", "--run-dir", str(folder))
    assert f"--resume {folder} --steps 800 --trust {folder}" in said
    for arguments in (["--resume", str(folder)], ["--branch-from", f"{folder}@330", "--reinit", "none"]):
        if arguments[0] == "--resume":
            assert f"add --trust {folder}" in train(*arguments, "--steps", "420", code=2)
    with pytest.raises(ValueError, match="not imported only because a file names it"):
        load_policy(folder)
    assert load_policy(folder, trust=True).step == 400
    train("--resume", str(folder), "--steps", "420", "--reinit", method)
    train("--resume", str(folder), "--steps", "440", "--trust", str(folder))
    assert "the run is" in train("--resume", str(folder), "--trust", str(tmp_path), code=2)


def test_an_environment_whose_class_is_in_another_file_is_guarded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, inner = tmp_path / "run", tmp_path / "inner_world.py"
    inner.write_text("from gymnasium.envs.classic_control import PendulumEnv\n\n\nclass Own(PendulumEnv):\n    pass\n")
    register = 'import gymnasium\n\ngymnasium.register("Own-v0", entry_point="inner_world:Own", max_episode_steps=50)\n'
    (tmp_path / "outer_world.py").write_text(register)
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY[2:], "--env", "outer_world:Own-v0", "--run-dir", str(folder))
    assert {path.name for path in (folder / "source").iterdir()} == {"inner_world.py", "outer_world.py"}
    inner.write_text(inner.read_text() + "\n")
    assert f"{inner} has changed" in train("--resume", str(folder), "--trust", str(folder), code=2)
    with pytest.raises(ValueError, match="has changed"):
        load_policy(folder, trust=True)


def test_code_beside_the_project_s_own_is_somebody_s_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", ROOT / "fire_of_somebody.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text())
    try:
        train(*TINY, "--reinit", "fire_of_somebody:Halving", "--reinit-at", "150", "--run-dir", str(folder))
    finally:
        module.unlink()
    assert (folder / "source" / "fire_of_somebody.py").exists()


def test_a_method_whose_source_has_changed_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", tmp_path / "wobbling.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text().replace("torch.nan", "0.1"))
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY, "--reinit", "wobbling:Spoiling", "--reinit-at", "150", "--run-dir", str(folder))
    assert (folder / "source" / "wobbling.py").read_text() == module.read_text()
    module.write_text(module.read_text().replace("0.1", "0.2"))
    said = train("--resume", str(folder), "--steps", "420", "--trust", str(folder), code=2)
    assert f"{module} has changed since {folder} was made with it" in said
    assert "change it back, or begin a new run" in said
