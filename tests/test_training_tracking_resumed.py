"""Tracking of runs that are resumed, restarted or killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl import training
from fire_rl.commands.train import train_dqn
from fire_rl.training.lines import read_lines
from fire_rl.training.tracking.tracking import Tracking
from tests.fixtures import tracked_runs
from tests.fixtures.calling import call
from tests.fixtures.tracked_runs import OWN, ROOT, TINY, calls, wait_for

tracked = tracked_runs.tracked
untracked = tracked_runs.untracked
pytestmark = pytest.mark.usefixtures("unrendered_module")


def test_a_resumed_run_keeps_its_id_and_repeats_lines_with_their_numbers(tracked: Path, untracked: Path):
    result = training.run(
        "dqn", env="CartPole-v1", preset="quick", steps=240, learning_starts=40, eval_every=80, hidden_width=8,
        batch_size=8, eval_episodes=1, log_every=40, reinit="fire", checkpoint_every=100, measure_every=60,
        device="cpu", threads=1, run_dir=tracked / "run", track=[f"{OWN}:Writing"], quiet=True,
        on_evaluation=lambda step, value: step >= 160,
    )  # fmt: skip
    assert (result.ending, result.stopped) == ("stopped", "callback")
    code, _, errors = call(train_dqn, "--resume", str(tracked / "run"))
    assert (code, "names code outside fire-rl, --track" in errors) == (2, True)
    assert call(train_dqn, "--resume", str(tracked / "run"), "--trust", str(tracked / "run"))[0] == 0
    told = calls(tracked)
    first, second = (one["about"] for one in told if one["verb"] == "begin")
    assert (
        first["id"] == second["id"] == json.loads((tracked / "run" / "track.json").read_text())["ids"][f"{OWN}:Writing"]
    )
    assert (first["continued_at"], second["continued_at"]) == (None, result.step)
    values: dict[int, Any] = {}
    for one in told:
        if one["verb"] == "scalars":
            known = {name: value for name, value in one["values"].items() if "second" not in name}
            values.setdefault(one["line"], {}).update(known)
    lines = read_lines(tracked / "run" / "metrics.jsonl")
    assert [values[number + 1]["updates"] for number in range(len(lines))] == [line["updates"] for line in lines]
    assert [one["ending"] for one in told if one["verb"] == "finish"] == ["stopped", "finished"]
    assert differences(untracked, tracked / "run") == []


@pytest.mark.parametrize(
    "content",
    ['{"ids": {"wandb": "../../x"}}', '{"ids": 3}', "[", '{"ids": {"wandb": "A B"}}', '{"ids": {"wandb": 1}}'],
)
def test_forged_ids_stop_no_run(tmp_path: Path, content: str):
    (tmp_path / "track.json").write_text(content)
    said = begun(tmp_path)
    assert len(said) == 1
    assert said[0].startswith(f"warning: {tmp_path / 'track.json'}: ")
    assert said[0].endswith("the run is recorded as a new one")
    kept = json.loads((tmp_path / "track.json").read_text())["ids"]
    assert calls(tmp_path)[0]["about"]["id"] == kept[f"{OWN}:Writing"]


def test_ids_that_cannot_be_saved_stop_no_run(tmp_path: Path):
    (tmp_path / "track.json").mkdir()
    said = begun(tmp_path)
    assert [line.split(": ")[-1] for line in said] == [
        "the run is recorded as a new one", "on resuming, the run is recorded as a new one",
    ]  # fmt: skip
    assert calls(tmp_path)[-1]["verb"] == "finish"


def begun(folder: Path) -> list[str]:
    """Return the warnings of a run that begins and ends."""
    tracking, said = Tracking([f"{OWN}:Writing"]), list[str]()
    tracking.say = said.append
    tracking.require_ready()
    tracking.begin(folder, {})
    tracking.finish("finished")
    return [line for line in said if line.startswith("warning")]


def test_a_run_that_is_trained_again_from_the_start_is_a_new_run_there(tracked: Path, untracked: Path):
    shutil.copytree(untracked, tracked / "run")
    shutil.rmtree(tracked / "run" / "checkpoints")
    own = f"{OWN}:Writing"
    (tracked / "run" / "track.json").write_text(json.dumps({"ids": {own: "0" * 16}}))
    assert call(train_dqn, "--resume", str(tracked / "run"), "--track", own)[0] == 2
    assert not (tracked / "calls.jsonl").exists()  # the refused one never began there
    assert call(train_dqn, "--resume", str(tracked / "run"), "--track", own, "--restart", "True")[0] == 0
    assert calls(tracked)[0]["about"]["id"] != "0" * 16


def test_tracking_may_begin_and_end_when_a_run_is_resumed(tracked: Path, untracked: Path):
    shutil.copytree(untracked, tracked / "run")
    own = f"{OWN}:Writing"
    assert call(train_dqn, "--resume", str(tracked / "run"), "--steps", "280", "--track", own)[0] == 0
    assert calls(tracked)[-1]["ending"] == "finished"
    count = len(calls(tracked))
    code, _, errors = call(train_dqn, "--resume", str(tracked / "run"), "--steps", "320", "--track", "none")
    assert code == 0, errors
    assert len(calls(tracked)) == count
    assert json.loads((tracked / "run" / "config.json").read_text())["run"]["track"] == ["none"]


def test_a_finished_run_gives_a_tracker_its_result(tracked: Path, untracked: Path):
    shutil.copytree(untracked, tracked / "run")
    own = f"{OWN}:Writing"
    code, said, errors = call(train_dqn, "--resume", str(tracked / "run"), "--track", own)
    assert code == 0, errors
    assert "finished already" in said
    assert "recorded at" in said
    begin, finish = calls(tracked)
    assert (begin["verb"], begin["about"]["continued_at"]) == ("begin", 240)
    assert (finish["verb"], finish["ending"]) == ("finish", "finished")
    assert {"final return", "best return", "area return"} == set(finish["summary"])
    assert json.loads((tracked / "run" / "config.json").read_text())["run"]["track"] == [own]
    code, said, errors = call(train_dqn, "--resume", str(tracked / "run"), "--trust", str(tracked / "run"))
    assert (code, len(calls(tracked))) == (0, 2), "its record is complete and stays as it is"


def test_when_the_run_is_killed_its_tracker_finishes_and_ends(tracked: Path):
    """In a process of its own, because SIGKILL leaves no time to clean up."""
    words = [*TINY, "--steps", "200000", "--run-dir", str(tracked / "run"), "--track", f"{OWN}:Writing"]
    words[words.index("--steps") : words.index("--steps") + 2] = []
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "train_dqn.py"), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: (tracked / "calls.jsonl").exists() and len(calls(tracked)) > 5)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_for(lambda: calls(tracked)[-1] == {"verb": "finish", "ending": "killed", "summary": {}})
