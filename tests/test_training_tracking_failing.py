"""Trackers that fail, hang or end are left out, and the run goes on."""

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.differences import differences
from fire_rl.training.tracking import process
from fire_rl.training.tracking import tracking as tracking_module
from fire_rl.training.tracking.process import TrackerProcess
from fire_rl.training.tracking.tracking import Tracking
from tests.fixtures import tracked_runs
from tests.fixtures.tracked_runs import OWN, ROOT, calls, run, wait_for

tracked = tracked_runs.tracked
untracked = tracked_runs.untracked
pytestmark = pytest.mark.usefixtures("unrendered_module")
VERBS = ("begin", "scalars", "histogram", "picture", "flush", "finish")


def test_trackers_that_raise_at_any_verb_are_left_out_and_the_run_continues(tracked: Path, untracked: Path):
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
def test_the_run_waits_for_hanging_trackers_only_at_its_end_and_not_for_long(
    tracked: Path, untracked: Path, monkeypatch: pytest.MonkeyPatch, verb: str
):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", verb)
    monkeypatch.setattr("fire_rl.training.tracking.tracking.FINISH_LIMIT", 0.2)
    output, errors = run(tracked / "run", "--track", f"{OWN}:Sleeping", f"{OWN}:Busy")
    assert (output + errors).count("goes on without") == 2
    assert output.count("incomplete (it had not finished") == 2
    assert differences(untracked, tracked / "run") == []


def test_a_hanging_tracker_is_noticed_during_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "scalars")
    monkeypatch.setattr(process, "PATIENCE", 0.2)
    tracker = TrackerProcess(f"{OWN}:Sleeping")
    tracker.require_ready()
    tracker.tell("scalars", values={}, step=0, line=0)
    time.sleep(0.3)
    tracker.attend()
    assert tracker.lost == "it has handled nothing for 0 s"
    tracker.close()


def test_the_backlog_of_a_tracker_is_bounded(monkeypatch: pytest.MonkeyPatch):
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
    """The backlog of the second one is sent while the first one is waited for."""
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
    """Let waiting for more than `until` trackers take no time, and waiting for fewer take all the time that is left.

    Return a list that grows by the seconds that seem to have passed.
    """
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


def test_signals_to_the_whole_job_reach_only_the_run(tracked: Path):
    tracker = ready("Writing")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(tracker._process.pid, number)
    tracker.tell("finish", ending="stopped", summary={})
    wait_for(lambda: not tracker.exchange())
    tracker.close()
    assert tracker.lost is None
    assert calls(tracked)[-1]["ending"] == "stopped"


def test_a_broken_pipe_of_the_tracker_s_own_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIRE_RL_BAD_VERB", "begin")
    tracker = ready("Broken")
    tracker.tell("begin", about={})
    wait_for(lambda: attended(tracker).lost is not None)
    assert tracker.lost == "begin: BrokenPipeError: no way to the server"
    tracker.close()


def test_calls_are_completed_when_the_run_has_disappeared(tracked: Path):
    tracker = ready("Writing")
    tracker.tell("begin", about={})
    for line in range(300):
        tracker.tell("scalars", values={}, step=line, line=line)
    os.close(tracker._answering)
    os.close(tracker._asking)
    tracker._process.wait(600)
    assert [one["verb"] for one in calls(tracked)] == ["begin", *["scalars"] * 300, "finish"]
    assert calls(tracked)[-1]["ending"] == "killed"


def test_a_user_s_own_modules_come_before_the_project_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


def test_control_characters_of_a_tracker_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch):
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
