"""What W&B and MLflow store of a run that was stopped, or killed, and continued, without a network."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn as train
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS
from fire_rl.training.lines import read_lines
from fire_rl.training.session import carry_out
from tests.fixtures.tracked_runs import TINY
from tests.fixtures.wandb_file import records, rows

pytestmark = [pytest.mark.usefixtures("unrendered"), pytest.mark.slow]
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both trackers write below this folder, whatever this machine's settings for them are."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(words: list[str], stop_at: int | None = None) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        request = read_command_line(words, LEARNERS["dqn"])
        result = carry_out(request, lambda step, value: stop_at is not None and step >= stop_at)
    assert result.ending == ("finished" if stop_at is None else "stopped"), output.getvalue()
    return output.getvalue()


def wandb_files(place: Path) -> list[Path]:
    return sorted(place.glob("wandb/offline-run-*/run-*.wandb"))


def run_record(path: Path) -> Any:
    return next(record.run for record in records(path) if record.WhichOneof("record_type") == "run")


def exit_code(path: Path) -> int:
    return next(record.exit.exit_code for record in records(path) if record.WhichOneof("record_type") == "exit")


def mlflow_run(place: Path, experiment: str = "p") -> tuple[Any, Any]:
    client = importlib.import_module("mlflow").MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, found


def test_a_resumed_run_is_one_run_in_wandb(place: Path):
    pytest.importorskip("wandb")
    words = ["--track", "wandb", "--track-project", "p", "--track-group", "g", "--track-tags", "a"]
    call([*TINY, "--run-dir", "run", *words], stop_at=160)
    call(["--resume", "run"])
    call([*TINY, "--run-dir", "plain"])
    assert differences(place / "plain", place / "run") == []
    first, second = wandb_files(place)
    one, two = run_record(first), run_record(second)
    assert one.run_id == two.run_id
    assert (one.project, one.run_group, one.job_type, list(one.tags)) == ("p", "g", "run", ["a"])
    assert (one.display_name, exit_code(first), exit_code(second)) == ("run", 0, 0)
    config = {item.key: item.value_json for item in one.config.update}
    assert (config["method"], config["seed"]) == ('"fire"', "0")
    metrics = {
        record.metric.name or record.metric.glob_name: record.metric
        for record in records(first)
        if record.WhichOneof("record_type") == "metric"
    }
    assert metrics["*"].step_metric == metrics["evaluation/return"].step_metric == "environment_steps"
    assert metrics["evaluation/return"].summary.max, "for which higher is better"
    lines = read_lines(place / "run" / "metrics.jsonl")
    history = {row["_step"]: row for path in (first, second) for row in rows(path)}
    assert sorted(history)[-1] == len(lines)
    for number, line in enumerate(lines, 1):
        assert history[number]["environment_steps"] == line["environment_steps"]
        if line["kind"] == "evaluation":
            assert history[number]["evaluation/return"] == line["return"]
    assert list(place.glob("wandb/*/files/media/images/curve*.png"))


def test_a_resumed_run_is_one_run_in_mlflow(place: Path):
    pytest.importorskip("mlflow")
    words = ["--track", "mlflow", "--track-project", "p", "--track-group", "g", "--track-tags", "a"]
    call([*TINY, "--run-dir", "run", *words], stop_at=160)
    client, found = mlflow_run(place)
    assert (found.info.status, found.data.tags["ending"]) == ("KILLED", "stopped")
    call(["--resume", "run"])
    client, found = mlflow_run(place)
    tags, params = found.data.tags, found.data.params
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert (tags["group"], tags["kind"], tags["tag.a"], tags["metric.better"]) == ("g", "run", "true", "higher")
    assert (params["method"], params["seed"], params["env"]) == ("fire", "0", "CartPole-v1")
    lines = read_lines(place / "run" / "metrics.jsonl")
    trained = [(line["environment_steps"], line["updates"]) for line in lines if line["kind"] == "train"]
    seconds = client.get_metric_history(found.info.run_id, "train/seconds")
    assert [each.step for each in seconds] == [step for step, _ in trained], "each line once"
    returns = [line["return"] for line in lines if line["kind"] == "evaluation"]
    assert {each.value for each in client.get_metric_history(found.info.run_id, "evaluation/return")} == set(returns)
    assert found.data.metrics["final return"] == returns[-1]
    assert {each.path for each in client.list_artifacts(found.info.run_id)} == {"curve.png", "measures.png"}


def test_what_a_killed_run_had_logged_is_there_and_continued(place: Path):
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    words = [*TINY, "--run-dir", "run", "--track", "wandb", "mlflow", "--track-project", "p"]
    longer = [*words[:4], "--steps", "100000", *words[6:]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "train_dqn.py"), *longer], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    metrics = place / "run" / "metrics.jsonl"
    try:
        wait_for(lambda: metrics.exists() and metrics.read_text().count("evaluation") > 20)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_for(lambda: mlflow_run(place)[1].info.status == "KILLED")
    (first,) = wandb_files(place)
    assert exit_code(first) == 1
    written = len(read_lines(metrics))
    assert rows(first)[-1]["_step"] >= written - 1
    assert int(mlflow_run(place)[1].data.tags["fire_rl.line"]) >= written - 1
    call(["--resume", "run"], stop_at=0)
    assert len({run_record(path).run_id for path in wandb_files(place)}) == 1
    assert mlflow_run(place)[1].info.status == "KILLED", "one run, stopped now"


def test_wandb_s_own_process_may_be_killed(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Its service beside the tracker's process is killed, as by a machine that is out of memory."""
    pytest.importorskip("wandb")
    killed: list[int] = []

    def kill_service() -> None:
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                environment = (path / "environ").read_bytes()
                if words[0].endswith(b"wandb-core") and str(place).encode() in environment:
                    os.kill(int(path.name), signal.SIGKILL)
                    killed.append(int(path.name))

    def watch(step: int, value: float) -> bool:
        if step >= 80 and not killed:
            wait_for(lambda: bool(wandb_files(place)))
            kill_service()
        return False

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        request = read_command_line([*TINY, "--run-dir", "run", "--track", "wandb"], LEARNERS["dqn"])
        result = carry_out(request, watch)
    assert killed
    assert result.ending == "finished"
    assert output.getvalue().count("goes on without wandb") == 1
    assert train([*TINY, "--run-dir", "plain"]) == 0
    assert differences(place / "plain", place / "run") == []


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 1_000  # on a busy machine
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)
