"""TensorBoard's files: in the run's folder, found where an older version put them, with settings for HPARAMS."""

import contextlib
import io
import threading
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn as train
from fire_rl.training.folder import log_files
from fire_rl.training.lines import read_lines
from fire_rl.training.tracking.board import TensorBoard
from tests.fixtures.calling import quietly

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = (
    *("--env", "CartPole-v1", "--preset", "quick", "--steps", "240", "--learning-starts", "40", "--eval-every", "80"),
    *("--hidden-width", "8", "--batch-size", "8", "--eval-episodes", "1", "--log-every", "40", "--measure-every", "0"),
    *("--checkpoint-every", "100", "--device", "cpu", "--threads", "1"),
)


def opened(folder: Path) -> EventMultiplexer:
    found = EventMultiplexer().AddRunsFromDirectory(str(folder))
    return found.Reload()


def hparams(board: EventMultiplexer, run: str) -> dict[str, object]:
    content = board.SummaryMetadata(run, metadata.SESSION_START_INFO_TAG).plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in values.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a branch of it, and the run stopped in between and continued."""
    folder = tmp_path_factory.mktemp("runs")
    quietly(train, *TINY, "--run-dir", str(folder / "one"), "--track-tags", "trunk")
    quietly(train, "--branch-from", f"{folder / 'one'}@200", "--reinit", "fire", "--run-dir", str(folder / "two"))
    return folder


def test_a_run_has_the_name_of_its_folder(runs: Path):
    board = opened(runs)
    assert set(board.Runs()) == {"one", "two"}
    returns = [line["return"] for line in read_lines(runs / "two" / "metrics.jsonl") if line["kind"] == "evaluation"]
    assert [event.value for event in board.Scalars("two", "evaluation/return")] == returns, "its trunk's part as well"


def test_events_are_written_at_once_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    threads = threading.active_count()
    board = TensorBoard(Path("run"))
    monkeypatch.chdir("/")
    for step in range(3):
        board.scalars({"train/loss": step / 2, "train/seconds": 7}, step, step)
        board.histogram("values", torch.ones(8), step, step)
        assert opened(tmp_path / "run").Scalars(".", "train/loss")[-1].value == step / 2
    assert threading.active_count() == threads
    assert opened(tmp_path).Histograms("run", "values")[-1].histogram_value.num == 8
    board.close()


def test_hparams_distinguish_a_branch_from_its_trunk_whose_events_it_has(runs: Path):
    board = opened(runs)
    one, two = hparams(board, "one"), hparams(board, "two")
    assert (one["method"], one["kind"], one["env"], one["seed"]) == ("none", "trunk", "CartPole-v1", 0.0)
    assert (two["method"], two["kind"]) == ("fire", "branch")
    assert one["settings.learning_rate"] == 0.00025
    assert not {"settings.track_tags", "settings.log_every", "settings.device"} & one.keys()
    content = board.SummaryMetadata("two", metadata.EXPERIMENT_TAG).plugin_data.content
    metrics = [info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos]
    assert metrics == ["evaluation/return"]
    assert metrics[0] in board.Runs()["two"]["scalars"]


def test_the_settings_are_the_first_of_the_files(runs: Path):
    names = sorted(path.name for path in (runs / "two").glob("*tfevents*"))
    assert names[0] == "config.tfevents"
    assert len(names) == 3, "its trunk's events and its own"
    assert all("config" not in path.name for path in log_files(runs / "two")), "it is never cut"


def test_a_run_whose_events_are_where_an_older_version_put_them_continues_there(tmp_path: Path, runs: Path):
    from fire_rl.training.command_line import read_command_line
    from fire_rl.training.learners import LEARNERS
    from fire_rl.training.session import carry_out

    folder = tmp_path / "old"
    words = [*TINY, "--run-dir", str(folder)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fire_rl.training.tracking.board.events_folder", lambda run: run / "tensorboard")
            stopped = carry_out(read_command_line(words, LEARNERS["dqn"]), lambda step, value: step >= 100)
        assert stopped.ending == "stopped"
        assert [path.parent.name for path in log_files(folder)[1:]] == ["tensorboard"]
        assert carry_out(read_command_line(["--resume", str(folder)], LEARNERS["dqn"])).ending == "finished"
    assert not list(folder.glob("events.*"))
    assert differences(runs / "one", folder) == []
    quietly(
        train,
        "--branch-from",
        f"{folder}@240",
        "--steps",
        "280",
        "--reinit",
        "fire",
        "--run-dir",
        str(tmp_path / "branch"),
    )
    assert set(opened(tmp_path / "branch").Runs()) == {"tensorboard"}
