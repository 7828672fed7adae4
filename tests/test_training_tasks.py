"""Every H1 task can be trained: a run starts, evaluates, and continues after a stop as if it had not stopped."""

from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl import envs
from fire_rl.commands.train import train_sac as train
from fire_rl.envs.humanoid import TASKS
from fire_rl.training.lines import read_lines

pytestmark = pytest.mark.usefixtures("unrendered")
TINY = [
    *("--preset", "quick", "--reinit", "fire", "--reinit-at", "80", "--learning-starts", "20", "--replay-ratio", "0.5"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "8", "--eval-every", "80", "--eval-episodes", "1"),
    *("--checkpoint-every", "80", "--threads", "1", "--device", "cpu"),
]
# A checkpoint must not lose their memory, goals and own starts.
SPECIAL = ("reach", "maze", "sit_hard", "balance_hard")


@pytest.mark.parametrize(
    "task", [task if task in SPECIAL else pytest.param(task, marks=pytest.mark.slow) for task in TASKS]
)
def test_a_resumed_run_equals_an_uninterrupted_one(task: str, tmp_path: Path):
    name, whole, parts = f"h1-{task}", tmp_path / "whole", tmp_path / "parts"
    assert train(["--env", name, *TINY, "--steps", "160", "--run-dir", str(whole)]) == 0
    assert train(["--env", name, *TINY, "--steps", "80", "--run-dir", str(parts)]) == 0
    assert train(["--resume", str(parts), "--steps", "160"]) == 0
    assert differences(whole, parts) == []
    lines = read_lines(whole / "metrics.jsonl")
    assert sum(line["kind"] == "event" for line in lines) == 1
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    assert len(evaluations) == 4, "at 0, before and after the event, at the end"
    assert all(line["score"] == envs.normalised_score(name, line["return"]) for line in evaluations)
