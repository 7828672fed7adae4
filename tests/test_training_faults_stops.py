"""Runs that are stopped, or that cannot write or draw: a checkpoint is left, and one line says why."""

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from benchmarks.differences import differences
from fire_rl.training import checkpoint, durable
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.files import read_json
from fire_rl.training.history import History
from fire_rl.training.lines import read_lines
from fire_rl.training.log import RunLog
from fire_rl.training.output import printable
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.result import Result
from tests.fixtures import faulty_runs
from tests.fixtures.faulty_runs import BROKEN, ROOT, SMALL, TINY, WORLDS, last_line, train

whole = faulty_runs.whole
copy = faulty_runs.copy
pytestmark = pytest.mark.usefixtures("unrendered_module")


@pytest.mark.parametrize("name", ["draw_measures", "draw_curve"])
def test_a_picture_that_cannot_be_drawn_does_not_end_a_run(copy: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    def full(history: History, folder: Path, title: str) -> None:
        raise OSError(28, "No space left on device", str(folder / f".{name}-{history.count}.tmp"))

    monkeypatch.setattr(f"fire_rl.training.reporter.{name}", full)
    said = train("--resume", str(copy), "--steps", "420")
    assert said.count("(OSError: No space left on device); going on") == 1


def test_slow_pictures_are_drawn_rarely_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[tuple[str, int]] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda history, *_: drawn.append((name, history.count))

    monkeypatch.setattr("fire_rl.training.reporter.SHARE_OF_PICTURES", 1e-9)  # a microsecond is too much in such a run
    for name in ("draw_curve", "draw_measures"):
        monkeypatch.setattr(f"fire_rl.training.reporter.{name}", noted(name))
    train(*TINY, "--run-dir", str(tmp_path / "run"))
    lines = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [name for name, _ in drawn] == ["draw_curve", "draw_measures"] * 2
    assert drawn[2:] == [("draw_curve", lines), ("draw_measures", lines)]


def test_a_full_disk_ends_a_run_in_one_line_and_it_can_be_resumed(
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


@pytest.mark.parametrize("kind", [b"train/", b"singular values"])
def test_a_full_disk_that_tensorboard_finds_ends_a_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
):
    real = RecordWriter.write

    def full(writer: RecordWriter, data: bytes) -> None:
        if kind in data:
            raise OSError(28, "No space left on device")
        real(writer, data)

    monkeypatch.setattr(RecordWriter, "write", full)
    arguments = [*TINY, "--steps", "120", "--reinit", "fire", "--reinit-at", "110", "--run-dir", str(tmp_path / "run")]
    said = train(*arguments, code=1)
    assert re.search(r"run/events\.out\.tfevents\.\S+: No space left on device;", last_line(said))
    assert said.count("No space left on device") == 1
    assert "Traceback" not in said


def begun(folder: Path, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a run in a process of its own, and wait until it has written some metrics."""
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
    """Do not ignore hangups, even if the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_terminal_that_is_gone_leaves_a_checkpoint(tmp_path: Path):
    folder = tmp_path / "run"
    long = ["--env", "Pendulum-v1", "--steps", "100000", "--log-every", "10", *SMALL]
    process: Any = begun(folder, *long, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
    """An uninterrupted run with an event at step 200."""
    folder = tmp_path_factory.mktemp("runs") / "fired"
    train(*TINY, "--reinit", "fire", "--reinit-at", "200", "--run-dir", str(folder))
    return folder


@pytest.mark.parametrize(("looks", "owed"), [(50, "scheduled"), (450, "after event"), (900, None)])
def test_a_stop_interrupts_an_evaluation_which_is_repeated_later(
    fired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, owed: str | None
):
    """Every decision asks once whether to stop, in training and in evaluations that can be interrupted."""
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
    assert values["progress"]["owes"] == owed, "nothing, if the boundary had begun with a checkpoint"
    train("--resume", str(tmp_path / "stopped"))
    assert differences(fired, tmp_path / "stopped") == []
    assert not list((tmp_path / "stopped" / "checkpoints").glob("damaged*"))


def test_a_method_acts_in_a_branch_of_a_run_that_was_stopped_in_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trunk, folder, real, requested = tmp_path / "trunk", tmp_path / "branch", Reinforcement.evaluate, False

    def asked_to_stop(work: Reinforcement, pause: Callable[[], None]) -> dict[str, Any]:
        nonlocal requested
        requested = work.steps == 200
        return real(work, pause)

    with monkeypatch.context() as patch:
        patch.setattr(Reinforcement, "evaluate", asked_to_stop)
        patch.setattr("fire_rl.training.session.stop_signals", lambda calls: contextlib.nullcontext(lambda: requested))
        train(*TINY, "--checkpoint-every", "1000", "--run-dir", str(trunk), code=130)
    assert read_json(folder_of(trunk, 200) / "state.json")["progress"]["owes"] == "scheduled"
    train("--branch-from", str(trunk), "--reinit", "fire", "--run-dir", str(folder))
    lines = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] in ("event", "evaluation")]
    assert [(line["environment_steps"], line.get("occasion", "event")) for line in lines] == [
        (0, "scheduled"), (200, "scheduled"), (200, "before event"), (200, "event"), (200, "after event"),
        (400, "scheduled"),
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], [*TINY, "--steps", "80", "--run-dir", "{}"]])
def test_a_closed_output_pipe_is_not_an_error(tmp_path: Path, arguments: list[str]):
    words = " ".join(argument.format(tmp_path / "run") for argument in arguments)
    command = f"{sys.executable} train_sac.py {words} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_output_that_cannot_be_written_is_reported_once_and_does_not_end_a_run(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    command = f"{sys.executable} train_sac.py {' '.join(TINY)} --run-dir {folder} > /dev/full"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("standard output cannot be written to (No space left on device)") == 1
    assert differences(whole, folder) == []


def test_a_checkpoint_that_failed_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, real = tmp_path / "run", checkpoint.write_manifest
    replay: list[set[str]] = []

    def full(place: Path, manifest: checkpoint.Manifest) -> None:
        if manifest.step == 220:
            raise OSError(28, "No space left on device", str(place))
        real(place, manifest)

    def looked_at(config: Any, driver: Any, step: int | None, notes: list[str]) -> Result:
        replay.append({path.name for path in (folder / "replay").iterdir()})
        return Result(folder, "finished", 110, config.metric)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_manifest", full)
        train(*TINY, "--run-dir", str(folder), code=1)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"{110:012d}"]
    named = {segment.file for segment in checkpoint.read_manifest(folder, 110).segments}
    assert {path.name for path in (folder / "replay").iterdir()} > named
    monkeypatch.setattr("fire_rl.training.session.train", looked_at)
    train("--resume", str(folder))
    assert replay == [named]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_lack_of_memory_is_not_taken_for_damage(copy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def lacking(*arguments: Any) -> None:
        raise error

    before = sorted(copy.rglob("*"))
    monkeypatch.setattr(Reinforcement, "restore", lacking)
    said = train("--resume", str(copy), "--steps", "420", code=2)
    assert "not enough memory now" in last_line(said)
    assert "damaged" not in said
    assert sorted(copy.rglob("*")) == before


def test_a_file_that_does_not_fit_into_memory_now_is_not_damaged(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(durable, "LARGE", 0)
    monkeypatch.setattr(durable, "available_memory", lambda: 10)
    with pytest.raises(durable.NotEnoughMemory, match="not enough memory now"):
        checkpoint.read_checkpoint(copy, 400)


@pytest.mark.parametrize("words", [[*TINY, "--run-dir"], ["--steps", "420", "--resume"]])
def test_an_error_in_making_the_environment_is_not_called_an_error_in_writing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    def unreachable(config: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("fire_rl.training.session.build", unreachable)
    folder = copy if "--resume" in words else copy / "new"
    assert last_line(train(*words, str(folder), code=2)) == f"{folder} cannot begin: Connection refused"


def test_a_disk_that_is_full_when_the_log_is_opened_ends_a_run_in_one_line(copy: Path, monkeypatch: pytest.MonkeyPatch):
    def full(folder: Path, *arguments: Any) -> None:
        raise OSError(28, "No space left on device", str(folder / "metrics.jsonl"))

    monkeypatch.setattr("fire_rl.training.reporter.RunLog", full)
    said = last_line(train("--resume", str(copy), "--steps", "420", code=1))
    assert said.startswith(
        f"{copy / 'metrics.jsonl'}: No space left on device; the last whole checkpoint is at step 400"
    )


def test_a_disk_that_is_full_where_a_run_diverges_hides_no_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = RunLog.write

    def full(log: RunLog, kind: str, *arguments: Any) -> None:
        if kind == "diverged":
            raise OSError(28, "No space left on device", str(log.folder / "metrics.jsonl"))
        real(log, kind, *arguments)

    monkeypatch.setattr(RunLog, "write", full)
    said = train(*TINY, "--learning-rate", "1e30", "--run-dir", str(tmp_path / "run"), code=3)
    assert "diverged at step" in last_line(said)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("session.announce", "the run begins at step 0 again with python train_sac.py --resume"),
        ("tracking.tracking.Tracking.finish", "the run itself is finished"),
    ],
)
def test_ctrl_c_after_a_run_has_begun_is_not_answered_with_the_command_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
):
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"fire_rl.training.{place}", interrupted)
    with pytest.raises(KeyboardInterrupt, match=said):
        train(*TINY, "--steps", "60", "--run-dir", str(tmp_path / "run"))


def test_a_line_is_shortened_unless_it_has_no_limit():
    assert printable("a" * 4_000) == "a" * 3_000 + "..."
    assert printable("a" * 4_000 + "\n", None) == "a" * 4_000 + "\\n"
