"""Trackers of a run: told everything, and left out as soon as they fail, whatever they do."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl import training
from fire_rl.commands.train import train_dqn
from fire_rl.training.lines import read_lines
from fire_rl.training.tracking import process
from fire_rl.training.tracking import tracking as tracking_module
from fire_rl.training.tracking.process import TrackerProcess
from fire_rl.training.tracking.tracking import Tracking
from tests.fixtures.calling import call

pytestmark = pytest.mark.usefixtures("unrendered_module")
ROOT = Path(__file__).parent.parent
OWN = "tests.fixtures.own_trackers"
VERBS = ("begin", "scalars", "histogram", "picture", "flush", "finish")
TINY = (
    *("--env", "CartPole-v1", "--preset", "quick", "--steps", "240", "--learning-starts", "40", "--eval-every", "80"),
    *("--hidden-width", "8", "--batch-size", "8", "--eval-episodes", "1", "--log-every", "40", "--reinit", "fire"),
    *("--checkpoint-every", "100", "--measure-every", "60", "--device", "cpu", "--threads", "1"),
)


@pytest.fixture(autouse=True)
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trackers write; each run is in a folder of its own."""
    monkeypatch.setenv("FIRE_RL_TRACKED", str(tmp_path))
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "none")
    return tmp_path


def run(folder: Path, *words: str) -> tuple[str, str]:
    code, output, errors = call(train_dqn, *TINY, "--run-dir", str(folder), *words)
    assert code == 0, output + errors
    return output, errors


def calls(folder: Path) -> list[dict[str, Any]]:
    """What a tracker was told; a line that it is just writing does not count yet."""
    lines = (folder / "calls.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untracked") / "run"
    run(folder)
    return folder


def test_a_tracker_is_told_everything_that_is_logged(tracked: Path, untracked: Path):
    words = ("--track", f"{OWN}:Writing", "--track-project", "p", "--track-group", "g", "--track-tags", "a", "b")
    output, _ = run(tracked / "run", *words)
    assert f"{OWN}:Writing calls.jsonl" in " ".join(output.split())
    told, lines = calls(tracked), read_lines(tracked / "run" / "metrics.jsonl")
    about, ending = told[0]["about"], told[-1]
    assert [one["verb"] for one in told].count("begin") == 1
    assert (about["name"], about["kind"], about["project"], about["group"]) == ("run", "run", "p", "g")
    assert about["tags"] == ["a", "b"]
    assert about["metric"] == {"name": "return", "tag": "evaluation/return", "unit": "", "better": "higher"}
    assert (about["axis"], about["config"]["method"], about["config"]["seed"]) == ("environment_steps", "fire", 0)
    scalars = [one for one in told if one["verb"] == "scalars"]
    for number, line in enumerate(lines, 1):
        values = {name: value for one in scalars if one["line"] == number for name, value in one["values"].items()}
        assert values["updates"] == line["updates"]
        if line["kind"] == "evaluation":
            assert values["evaluation/return"] == line["return"]
        if line["kind"] == "train" and "loss" in line:
            assert values["train/loss"] == line["loss"]
    assert {one["name"] for one in told if one["verb"] == "picture"} == {"curve", "measures"}
    assert any(one["verb"] == "histogram" and one["values"] for one in told)
    finals = [line["return"] for line in lines if line["kind"] == "evaluation" and line["environment_steps"] == 240]
    assert (ending["verb"], ending["ending"]) == ("finish", "finished")
    assert ending["summary"]["final return"] == finals[-1]
    assert differences(untracked, tracked / "run") == []


def test_a_tracker_that_meddles_with_random_streams_changes_nothing(tracked: Path, untracked: Path):
    run(tracked / "run", "--track", f"{OWN}:Meddling")
    assert calls(tracked)[-1]["verb"] == "finish"
    assert differences(untracked, tracked / "run") == []


def test_a_tracker_needs_only_the_verbs_that_it_wants(tracked: Path):
    run(tracked / "run", "--track", f"{OWN}:Few")
    assert (tracked / "few").read_text() == "240"


def test_trackers_that_raise_are_left_out_whatever_the_verb_and_the_run_goes_on(tracked: Path, untracked: Path):
    bad = {verb: f"{OWN}:Bad{verb.capitalize()}" for verb in VERBS}
    output, errors = run(tracked / "run", "--track", *bad.values(), f"{OWN}:Writing")
    said = [line for line in (output + errors).splitlines() if "goes on without" in line]
    assert len(said) == len(VERBS)
    for verb, name in bad.items():
        (line,) = [line for line in said if f"without {name}: " in line]
        assert line.endswith(f"the run goes on without {name}: {verb}: ConnectionError: no way to the server")
        assert f"{name.partition(':')[2]} incomplete" in output
    assert calls(tracked)[-1]["verb"] == "finish", "the last one has everything"
    assert differences(untracked, tracked / "run") == []


def test_trackers_whose_processes_end_are_left_out(tracked: Path, untracked: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "scalars")
    kinds = {"Killed": "SIGKILL", "Leaving": "ended by itself, with exit code 0", "Exiting": "SystemExit: 5"}
    output, errors = run(tracked / "run", "--track", *(f"{OWN}:{kind}" for kind in kinds))
    assert (output + errors).count("goes on without") == 3
    for kind, said in kinds.items():
        (line,) = [line for line in (output + errors).splitlines() if f"goes on without {OWN}:{kind}: " in line]
        assert said in line
        assert f"{kind} incomplete" in output
    assert differences(untracked, tracked / "run") == []


@pytest.mark.parametrize("verb", ["begin", "finish"])
def test_trackers_that_hang_are_waited_for_at_the_end_alone_and_not_for_long(
    tracked: Path, untracked: Path, monkeypatch: pytest.MonkeyPatch, verb: str
):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", verb)
    monkeypatch.setattr("fire_rl.training.tracking.tracking.FINISH_LIMIT", 0.2)
    output, errors = run(tracked / "run", "--track", f"{OWN}:Sleeping", f"{OWN}:Busy")
    assert (output + errors).count("goes on without") == 2
    assert output.count("incomplete (it had not finished") == 2
    assert differences(untracked, tracked / "run") == []


def test_a_hanging_tracker_is_noticed_while_the_run_goes_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "scalars")
    monkeypatch.setattr(process, "PATIENCE", 0.2)
    tracker = TrackerProcess(f"{OWN}:Sleeping")
    tracker.require_ready()
    tracker.tell("scalars", values={}, step=0, line=0)
    time.sleep(0.3)
    tracker.attend()
    assert tracker.lost == "it has handled nothing for 0 s"
    tracker.close()


def test_what_waits_for_a_tracker_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "begin")
    monkeypatch.setattr(process, "MOST_WAITING", 1_000_000)
    tracker = TrackerProcess(f"{OWN}:Sleeping")
    tracker.require_ready()
    tracker.tell("begin", about={})
    start = time.monotonic()
    for line in range(100_000):
        tracker.tell("scalars", values={"train/loss": 1.0}, step=line, line=line)
    assert time.monotonic() - start < 200
    assert tracker.lost is not None
    assert "cannot keep up" in tracker.lost
    tracker.close()


def test_trackers_that_hang_share_one_time_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "finish")
    waited = pretend_waits(monkeypatch, until=2)
    tracking = Tracking([f"{OWN}:Sleeping", f"{OWN}:Busy", f"{OWN}:Writing"])
    tracking.require_ready()
    tracking.begin(tmp_path, {})
    tracking.finish("finished")
    assert sum(waited) == process.FINISH_LIMIT
    assert [tracker.lost is None for tracker in tracking.trackers] == [False, False, True]
    assert all(tracker._process.poll() is not None for tracker in tracking.trackers)


def test_a_hanging_tracker_costs_a_slow_one_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tracked: Path):
    """What waits for the second is poured while the first is waited for."""
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "begin")
    pretend_waits(monkeypatch, until=1)
    tracking = Tracking([f"{OWN}:Sleeping", f"{OWN}:Slow"])
    tracking.require_ready()
    tracking.begin(tmp_path, {})
    for line in range(200):
        tracking.scalars({"long " + "x" * 2_000: 1.0}, line, line)
    tracking.finish("finished")
    assert [tracker.lost is None for tracker in tracking.trackers] == [False, True]
    assert calls(tracked)[-1]["ending"] == "finished"


def pretend_waits(monkeypatch: pytest.MonkeyPatch, until: int) -> list[float]:
    """Waiting for more trackers than `until` takes no time, however long; for fewer, all that is left at once.

    The result grows by the seconds that seem to have been waited for."""
    waited: list[float] = []

    def wait(unfinished: Sequence[TrackerProcess], seconds: float) -> None:
        if len(unfinished) > until:
            process.wait_for(unfinished, 200.0)
        else:
            waited.append(seconds)

    monkeypatch.setattr(tracking_module, "wait_for", wait)
    monkeypatch.setattr(tracking_module, "time", SimpleNamespace(monotonic=lambda: sum(waited)))
    return waited


def test_a_tracker_that_closes_its_pipe_and_lives_on_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "scalars")
    tracker = ready("Closing")
    tracker.tell("scalars", values={}, step=0, line=0)
    wait_for(lambda: attended(tracker).lost is not None)
    assert tracker.lost == "it closed its pipe"
    tracker.close()
    assert tracker._process.poll() is not None


def test_a_slow_tracker_with_a_backlog_does_not_count_as_hanging(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "PATIENCE", 1e6)
    tracker = ready("Slow")
    tracker._done = 0
    for line in range(1, 1000):
        tracker.tell("scalars", values={}, step=line, line=line)
    wait_for(lambda: attended(tracker)._done)
    assert 0 < tracker._done < 1000
    tracker.close()


def test_signals_to_the_whole_job_are_the_run_s_alone(tracked: Path):
    tracker = ready("Writing")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(tracker._process.pid, number)
    tracker.tell("finish", ending="stopped", summary={})
    wait_for(lambda: not tracker.exchange())
    tracker.close()
    assert tracker.lost is None
    assert calls(tracked)[-1]["ending"] == "stopped"


def test_a_pipe_of_the_tracker_s_own_that_breaks_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "begin")
    tracker = ready("Broken")
    tracker.tell("begin", about={})
    wait_for(lambda: attended(tracker).lost is not None)
    assert tracker.lost == "begin: BrokenPipeError: no way to the server"
    tracker.close()


def test_what_was_said_is_handled_when_the_run_is_gone_without_a_word(tracked: Path):
    tracker = ready("Writing")
    tracker.tell("begin", about={})
    for line in range(300):
        tracker.tell("scalars", values={}, step=line, line=line)
    os.close(tracker._answering)
    os.close(tracker._asking)
    tracker._process.wait(600)
    assert [one["verb"] for one in calls(tracked)] == ["begin", *["scalars"] * 300, "finish"]
    assert calls(tracked)[-1]["ending"] == "killed"


def test_modules_of_the_user_s_own_come_before_the_project_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "names.py").write_text("OWN = 'of the user'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(ROOT), *filter(None, sys.path)])  # as in a REPL
    tracker = ready("Neighbour")
    tracker.tell("begin", about={})
    wait_for(lambda: attended(tracker).where or tracker.lost)
    assert (tracker.where, tracker.lost) == ("of the user", None)
    tracker.close()


def test_a_run_with_very_many_open_files_is_tracked():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("so many files cannot be opened here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    opened = []
    try:
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        tracker = ready("Writing")
        tracker.tell("finish", ending="finished", summary={})
        wait_for(lambda: not tracker.exchange())
        tracker.close()
        assert tracker.lost is None
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_tracker_says_does_not_reach_the_terminal_raw(monkeypatch: pytest.MonkeyPatch):
    tracking = Tracking([f"{OWN}:Writing"])
    tracking.trackers[0].where = "here\x1b[2J\nand there"
    assert tracking.records == [(f"{OWN}:Writing", "here [2J and there")]
    tracking.close()


def attended(tracker: TrackerProcess) -> TrackerProcess:
    tracker.attend()
    return tracker


def ready(kind: str) -> TrackerProcess:
    tracker = TrackerProcess(f"{OWN}:{kind}")
    tracker.require_ready()
    return tracker


# Before the run


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["wand"], "--track 'wand' given; allowed are wandb, mlflow, module:Class, or none alone; did you mean wandb?"),
        (["wandb", "wandb"], "--track 'wandb' given twice"),
        (["tensorboard"], "TensorBoard's events are always written"),
        (["none", "wandb"], "--track 'none' given"),
        (["no_such_module:Tracker"], "no module 'no_such_module'"),
        ([f"{OWN}:Nothing"], "has no attribute 'Nothing'"),
    ],
)
def test_a_tracker_that_there_is_not_is_said_before_anything_is_made(tracked: Path, given: list[str], said: str):
    code, _, errors = call(train_dqn, *TINY, "--run-dir", str(tracked / "run"), "--track", *given)
    assert code == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tracked / "run").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_its_command(tracked: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    code, _, errors = call(train_dqn, *TINY, "--run-dir", str(tracked / "run"), "--track", name)
    assert code == 2
    assert f"--track {name} needs the package {name}: make setup-dev, or pip install -e '.[track]'" in errors
    assert not (tracked / "run").exists()


def test_a_tracker_whose_import_fails_or_hangs_is_refused(tracked: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "import")
    code, _, errors = call(train_dqn, *TINY, "--run-dir", str(tracked / "run"), "--track", f"{OWN}:Bad")
    assert (code, "ConnectionError: no way to the server" in errors) == (2, True)
    monkeypatch.setattr(process, "IMPORT_LIMIT", 2.0)
    code, _, errors = call(train_dqn, *TINY, "--run-dir", str(tracked / "run"), "--track", f"{OWN}:Sleeping")
    assert (code, "its import has not ended after 2 s" in errors) == (2, True)
    assert not (tracked / "run").exists()


@pytest.mark.parametrize("flag", ["--track-project", "--track-group", "--track-tags"])
def test_names_that_a_tracker_refuses_are_refused_here(tracked: Path, flag: str):
    code, _, errors = call(train_dqn, *TINY, "--run-dir", str(tracked / "run"), flag, "a\tb")
    assert (code, flag in errors) == (2, True)


@pytest.mark.parametrize("project", ["team/plasticity", "a:b"])
def test_a_project_that_wandb_refuses_is_refused_before_the_run(tracked: Path, project: str):
    folder = str(tracked / "run")
    code, _, errors = call(train_dqn, *TINY, "--run-dir", folder, "--track", "wandb", "--track-project", project)
    assert (code, "WANDB_ENTITY" in errors, len(errors.strip().splitlines())) == (2, True, 1)
    assert not (tracked / "run").exists()


# Resuming


def test_a_resumed_run_goes_on_under_its_id_and_repeats_lines_with_their_numbers(tracked: Path, untracked: Path):
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
def test_ids_from_a_stranger_are_data_and_stop_no_run(tmp_path: Path, content: str):
    (tmp_path / "track.json").write_text(content)
    said = begun(tmp_path)
    assert len(said) == 1
    assert said[0].startswith(f"warning: {tmp_path / 'track.json'}: ")
    assert said[0].endswith("the run is recorded as a new one")
    kept = json.loads((tmp_path / "track.json").read_text())["ids"]
    assert calls(tmp_path)[0]["about"]["id"] == kept[f"{OWN}:Writing"]


def test_ids_that_cannot_be_kept_stop_no_run(tmp_path: Path):
    (tmp_path / "track.json").mkdir()
    said = begun(tmp_path)
    assert [line.split(": ")[-1] for line in said] == [
        "the run is recorded as a new one", "on resuming, the run is recorded as a new one",
    ]  # fmt: skip
    assert calls(tmp_path)[-1]["verb"] == "finish"


def begun(folder: Path) -> list[str]:
    """Warnings of a run that begins and ends."""
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
    assert not (tracked / "calls.jsonl").exists()  # what was refused never began there
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


def test_when_the_run_is_killed_its_tracker_finishes_and_ends(tracked: Path):
    """In a process of its own, as SIGKILL leaves nothing to clean up."""
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


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + 600
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)
