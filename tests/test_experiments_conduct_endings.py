"""Runs of a comparison that fail, are stopped or diverge: what is said, and what goes on without them."""

from pathlib import Path

import pytest

from fire_rl.experiments.failure import Failure, failure_path, note_failure
from fire_rl.experiments.sweep.conduct import Ending, conduct, look
from fire_rl.experiments.sweep.endings import say_endings
from fire_rl.experiments.sweep.local import LocalPool
from fire_rl.experiments.sweep.states import state_of, states_of
from fire_rl.experiments.sweep.table import LiveTable
from fire_rl.place import ROOT
from tests.fixtures import conducted
from tests.fixtures.conducted import Order, job, trunk_and_branches

folder = conducted.folder


def test_branches_of_a_failed_trunk_wait_and_the_other_runs_continue(folder: Path):
    jobs = trunk_and_branches(folder)
    sweep = look(jobs, retry=False)
    conduct(sweep, Order(slots=2, codes={"trunk0": 1}))
    assert [sweep.state(job) for job in jobs] == ["failed", "finished", "no trunk", "no trunk", "finished", "finished"]
    again = look(jobs, retry=False)
    assert not again.ready()
    retried = look(jobs, retry=True)
    conduct(retried, Order(slots=2))
    assert retried.complete


def test_a_failed_run_shows_its_last_lines_until_it_is_retried(folder: Path):
    broken = job(folder, "broken", mode="fail")
    sweep = look([broken], retry=False)
    conduct(sweep, LocalPool(slots=1))
    assert sweep.failed[broken.folder].lines[-1] == "something went wrong"
    assert sweep.failed[broken.folder].reason == "exit code 1: something went wrong"
    assert look([broken], retry=False).failed == sweep.failed
    (folder / "mended").touch()
    assert states_of([broken], retry=True) == {broken.folder: "interrupted"}
    again = look([broken], retry=True)
    assert failure_path(broken.folder).exists(), "the comparison may still be refused"
    conduct(again, LocalPool(slots=1))
    assert again.complete
    assert not failure_path(broken.folder).exists()


def test_the_message_for_killed_runs_says_what_may_have_happened():
    assert "memory" in Failure(-9, ()).reason
    assert Failure(-11, ()).reason == "killed by signal 11"


def test_a_run_that_is_stopped_again_and_again_without_getting_further_has_failed(folder: Path):
    pool = Order(slots=1, codes={})
    pool.codes = {"r": 130}
    begun: list[int] = []

    def stopped(seconds: float) -> list[Ending]:
        begun.append(1)
        return [Ending(pool.open.pop(0), 130)]

    pool.wait = stopped  # type: ignore[method-assign]
    sweep = look([job(folder, "r")], retry=False)
    conduct(sweep, pool)
    assert len(begun) == 3
    assert sweep.failed


def test_a_run_that_went_on_after_it_failed_has_not_failed(folder: Path):
    run = job(folder, "r")
    note_failure(run.folder, 1)
    assert state_of(run) == "failed"
    conduct(look([run], retry=True), Order(slots=1))
    note_failure(run.folder, 1)
    assert state_of(run) == "finished"
    assert look([run], retry=False).complete
    assert not failure_path(run.folder).exists()


def test_the_last_lines_of_a_failure_are_those_of_its_last_process(folder: Path):
    (folder / "script.py").write_text("import sys\nsys.exit('something went wrong')\n")
    broken = job(folder, "broken")
    for _ in range(2):
        sweep = look([broken], retry=True)
        conduct(sweep, LocalPool(slots=1))
    lines = sweep.failed[broken.folder].lines
    assert [line for line in lines if "something" in line] == ["something went wrong"]


def test_a_failure_that_cannot_be_recorded_ends_no_other_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fire_rl.experiments.failure.write_json", full)
    jobs = [job(folder, name) for name in ("a", "b", "c")]
    sweep = look(jobs, retry=False)
    conduct(sweep, Order(slots=1, codes={"a": 1, "b": 1}))
    assert [sweep.state(job) for job in jobs] == ["failed", "failed", "finished"]
    assert capsys.readouterr().err.count("No space left on device") == 2


def test_a_run_that_diverged_has_ended_and_nothing_branches_from_it(folder: Path, capsys: pytest.CaptureFixture[str]):
    jobs = trunk_and_branches(folder)
    ended: list[str] = []
    sweep = look(jobs, retry=False)
    conduct(
        sweep, Order(slots=2, codes={"trunk0": 3, "b1x": 3}), LiveTable(), finished=lambda job: ended.append(job.name)
    )
    states = [sweep.state(job) for job in jobs]
    assert states == ["diverged", "finished", "no trunk", "no trunk", "diverged", "finished"]
    assert sweep.complete, "it is a result"
    assert not sweep.failed
    assert sorted(ended) == ["b1x", "b1y", "trunk0", "trunk1"]
    said = capsys.readouterr().err
    assert "b1x: diverged at step 2 (critic_loss is nan)\n" in said
    assert "b0x: no trunk (trunk0 diverged at step 2)\n" in said
    for retry in (False, True):
        pool = Order(slots=2)
        conduct(look(jobs, retry), pool)
        assert pool.begun == []
    assert states_of(jobs) == {job.folder: state for job, state in zip(jobs, states, strict=True)}


def test_the_last_lines_say_what_diverged_and_what_may_help(folder: Path, capsys: pytest.CaptureFixture[str]):
    jobs = trunk_and_branches(folder)
    (jobs[0].folder / "checkpoints" / f"{1:012d}").mkdir(parents=True)
    sweep = look(jobs, retry=False)
    conduct(sweep, Order(slots=2, codes={"trunk0": 3}))
    say_endings(sweep)
    said = capsys.readouterr().out
    assert "trunk0 diverged at step 2 (critic_loss is nan); b0x, b0y cannot branch from it\n" in said
    assert f"python {ROOT / 'train_sac.py'} --branch-from {jobs[0].folder}@1 --reinit fire\n" in said
    for help in ("--learning-rate", "such as fire", "earlier checkpoint"):
        assert help in said


def test_an_exit_code_alone_makes_no_divergence(folder: Path):
    run = job(folder, "r")
    pool = Order(slots=1)
    pool.wait = lambda seconds: [Ending(pool.open.pop(0), 3)]  # type: ignore[method-assign]
    sweep = look([run], retry=False)
    conduct(sweep, pool)
    assert sweep.state(run) == "failed"


def test_a_trunk_whose_checkpoint_is_gone_is_named_and_nothing_is_deleted(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    jobs = trunk_and_branches(folder)
    conduct(look(jobs[:3], retry=False), Order(slots=1))
    (jobs[0].folder / "gone").touch()
    sweep, pool = look(jobs, retry=False), Order(slots=1)
    conduct(sweep, pool)
    assert "b0y" not in pool.begun
    assert [sweep.state(job) for job in jobs[:4]] == ["finished", "finished", "finished", "no trunk"]
    assert not sweep.complete
    say_endings(sweep)
    (line,) = capsys.readouterr().err.splitlines()[1:]
    assert line == (
        "b0y cannot branch from trunk0 at step 3: the trunk's checkpoint or its replay is gone; "
        f"delete the trunk's folder, {jobs[0].folder}, and the same command trains it again"
    )
    assert (jobs[0].folder / "metrics.jsonl").exists()
