"""DQN on Atari, MinAtar and CartPole: runs that were killed within episodes and resumed equal those that were not."""

from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn as train
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.lines import read_lines
from tests.fixtures.slow import slow
from tests.test_training_resume import kill
from tests.test_training_resume_suites import interrupted

pytestmark = pytest.mark.usefixtures("unrendered")
TINY = [
    *("--steps", "400", "--num-envs", "2", "--learning-starts", "60", "--replay-ratio", "0.25"),
    *("--replay-capacity", "200"),
    *("--batch-size", "4", "--hidden-width", "8", "--target-every", "20", "--reinit", "fire", "--reinit-every", "31"),
    *("--log-every", "100", "--eval-every", "10000", "--eval-steps", "40", "--checkpoint-every", "130"),
    *("--threads", "1", "--device", "cpu"),
]
TASKS = ["CartPole-v1", "MinAtar/Breakout-v1", "Breakout"]


@pytest.mark.parametrize("task", ["CartPole-v1", slow("MinAtar/Breakout-v1"), "Breakout"])
def test_an_interrupted_and_resumed_run_equals_the_uninterrupted_one(task, tmp_path, monkeypatch, capsys):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    tiny = [*TINY, "--env", task]
    assert train([*tiny, "--run-dir", str(whole)]) == 0
    interrupted(train, [*tiny, "--run-dir", str(folder)], 35, monkeypatch)
    assert 0 < steps_of(folder)[-1] < 400
    assert train(["--resume", str(folder)]) == 0
    assert differences(whole, folder) == []
    assert "no saved state" not in capsys.readouterr().out


def test_an_injection_is_there_after_resuming(tmp_path, monkeypatch):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    tiny = [*TINY, "--env", "CartPole-v1", "--reinit", "injection"]
    assert train([*tiny, "--run-dir", str(whole)]) == 0
    interrupted(train, [*tiny, "--run-dir", str(folder)], 45, monkeypatch)
    assert train(["--resume", str(folder)]) == 0
    assert differences(whole, folder) == []
    assert sum(line["kind"] == "event" for line in read_lines(whole / "metrics.jsonl")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_run_killed_five_times_equals_the_uninterrupted_one(task: str, tmp_path: Path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    tiny = [*TINY, "--env", task, "--steps", "1200"]
    assert train([*tiny, "--run-dir", str(whole)]) == 0
    command = [*tiny, "--run-dir", str(folder)]
    for changes in (40, 31, 27, 33, 29):
        kill(changes, *command, script="train_dqn")
        command = ["--resume", str(folder)]
    assert train(command) == 0
    assert differences(whole, folder) == []
