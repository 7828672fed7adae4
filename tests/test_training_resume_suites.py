"""Runs on Gymnasium's MuJoCo tasks and the Control suite: interrupted and resumed, they equal those that were not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_sac as train_here
from fire_rl.envs.suite import benchmark_names
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.lines import read_lines
from tests.fixtures.slow import slow
from tests.test_training_resume import kill, train

pytestmark = pytest.mark.usefixtures("unrendered")
TINY = [
    *("--steps", "400", "--learning-starts", "40", "--action-repeat", "4", "--replay-ratio", "0.5"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--num-envs", "2", "--log-every", "80"),
    *("--eval-every", "10000", "--eval-episodes", "1", "--checkpoint-every", "120", "--threads", "1"),
    *("--device", "cpu"),
]
SUITE = ["dmc:reacher-easy"] if benchmark_names() else []


class Killed(BaseException):
    """Raised instead of a signal."""


def interrupted(
    script: Callable[[list[str]], int], arguments: list[str], flushes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a script in this process until just before the n-th flush to the disk."""
    flush, left = os.fsync, flushes

    def dying(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying)
        with pytest.raises(Killed):
            script(arguments)


@pytest.mark.parametrize("task", [slow("HalfCheetah-v5"), *SUITE])
def test_an_interrupted_and_resumed_run_equals_the_uninterrupted_one(task, tmp_path, monkeypatch, capsys):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert train_here([*TINY, "--env", task, "--run-dir", str(whole)]) == 0
    interrupted(train_here, [*TINY, "--env", task, "--run-dir", str(folder)], 25, monkeypatch)
    reached = steps_of(folder)
    assert reached
    assert reached[-1] < 400
    assert train_here(["--resume", str(folder)]) == 0
    assert differences(whole, folder) == []
    assert "no saved state" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("task", ["HalfCheetah-v5", "Hopper-v5", "Pendulum-v1", *SUITE])
@pytest.mark.parametrize("first", [17, 26, 31])
def test_a_killed_and_resumed_run_equals_the_uninterrupted_one(task: str, first: int, tmp_path: Path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    tiny = [*TINY, "--env", task]
    train(*tiny, "--run-dir", str(whole))
    kill(first, *tiny, "--run-dir", str(folder))
    kill(19, "--resume", str(folder))
    train("--resume", str(folder))
    assert differences(whole, folder) == []
    endings = [line["ending"] for line in read_lines(whole / "metrics.jsonl") if line["kind"] == "episode"]
    assert ("terminated" in endings) == (task == "Hopper-v5"), "the robot falls within a few steps"
