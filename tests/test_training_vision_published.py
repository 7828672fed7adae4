"""The published warm start with its ResNet-18, shortened, on made-up files of CIFAR-10: killed and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.training.lines import read_lines
from tests.fixtures.pictures import write_cifar10

ROOT = Path(__file__).parent.parent
SHORT = "--images 40 --batch-size 20 --first-epochs 3 --epochs 3 --eval-every 3 --log-every 2 --measure-every 0"
DEADLINE = 600


def started(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "train_vision.py", *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_a_run_that_was_killed_and_resumed_equals_one_that_was_not(tmp_path: Path):
    write_cifar10(tmp_path, test=20)
    words = ["--task", "warm-start", "--data", "cifar10", "--network", "resnet18", "--reinit", "fire", *SHORT.split()]
    words += ["--data-dir", str(tmp_path), "--checkpoint-every", "2", "--threads", "1", "--device", "cpu"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert started(*words, "--run-dir", str(whole)).wait(DEADLINE) == 0
    killed = started(*words, "--run-dir", str(parts))
    begun = time.monotonic()
    while not (parts / "checkpoints" / f"{4:012d}").exists():  # the event is at update 3
        assert killed.poll() is None
        assert time.monotonic() - begun < DEADLINE
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert started("--resume", str(parts)).wait(DEADLINE) == 0
    assert differences(whole, parts) == []
    events = [line for line in read_lines(parts / "metrics.jsonl") if line["kind"] == "event"]
    assert [line["updates"] for line in events] == [3]
