"""DQN solves CartPole with the command of the docs."""

from pathlib import Path

import pytest

from fire_rl.commands.train import train_dqn as train
from fire_rl.training.lines import read_lines

COMMAND = [
    *("--env", "CartPole-v1", "--steps", "60000", "--learning-starts", "1000", "--exploration-steps", "15000"),
    *("--final-exploration", "0.05", "--explore-together", "False", "--learning-rate", "3e-4", "--target-every", "500"),
    *("--replay-ratio", "0.5", "--batch-size", "128", "--n-steps", "10", "--double", "True", "--eval-every", "5000"),
]


@pytest.mark.slow
def test_cartpole_is_solved(tmp_path: Path):
    assert train([*COMMAND, "--threads", "1", "--device", "cpu", "--run-dir", str(tmp_path / "run")]) == 0
    evaluations = [line for line in read_lines(tmp_path / "run" / "metrics.jsonl") if line["kind"] == "evaluation"]
    assert all(line["return"] >= 475 for line in evaluations[-2:]), "475 is Gymnasium's own threshold"
