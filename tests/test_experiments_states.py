"""The state of a run is read from its folder, whoever wrote it: no file makes a command wait or end in a traceback."""

import os
from pathlib import Path

import pytest

from fire_rl.experiments.failure import failure_path, log_path, note_failure
from fire_rl.experiments.sweep.conduct import conduct, look
from fire_rl.experiments.sweep.local import LocalPool
from fire_rl.experiments.sweep.states import standing_of, state_of
from tests.fixtures.conducted import job, write_metrics


def test_a_finished_run_is_known_by_its_metrics_alone(tmp_path: Path):
    run = job(tmp_path, "r", steps=3)
    write_metrics(run, {"kind": "evaluation", "environment_steps": 3, "return": 0.0})
    assert not (run.folder / "checkpoints").exists()
    assert state_of(run) == "finished"
    write_metrics(run, {"kind": "evaluation", "environment_steps": 2, "return": 0.0})
    assert state_of(run) == "interrupted"


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        "[]",
        '{"kind": "evaluation", "environment_steps": "many"}',
        '{"kind": 3, "environment_steps": 3}',
        '{"kind": "evaluation", "environment_steps": 1e400}',
        '{"kind": "diverged", "environment_steps": 3}',
        "\x00\xff",
    ],
)
def test_metrics_that_no_run_wrote_make_no_run_finished(tmp_path: Path, line: str):
    run = job(tmp_path, "r", steps=3)
    write_metrics(run)
    (run.folder / "metrics.jsonl").write_text(line + "\n")
    assert state_of(run) == "interrupted"
    assert standing_of(run).step in (0, 3)


def test_pipes_in_place_of_files_make_nothing_wait(tmp_path: Path):
    run = job(tmp_path, "r", steps=3)
    write_metrics(run)
    (run.folder / "metrics.jsonl").unlink()
    os.mkfifo(run.folder / "metrics.jsonl")
    assert state_of(run) == "interrupted"
    (tmp_path / "logs").mkdir()
    os.mkfifo(log_path(run.folder))
    sweep = look([run], retry=False)
    conduct(sweep, LocalPool(slots=1))
    assert "could not begin" in sweep.failed[run.folder].reason
    os.mkfifo(failure_path(run.folder))
    with pytest.raises(ValueError, match=r"r\.failed\.json: is not a regular file$"):
        look([run], retry=False)


@pytest.mark.parametrize("note", ["{}", "[]", '{"code": "1", "lines": []}', '{"code": 1, "lines": "x"}', "[" * 100_000])
def test_a_forged_note_of_a_failure_is_named_in_one_line(tmp_path: Path, note: str):
    run = job(tmp_path, "r")
    (tmp_path / "logs").mkdir()
    failure_path(run.folder).write_text(note)
    with pytest.raises(ValueError, match=r"r\.failed\.json") as caught:
        look([run], retry=False)
    assert "\n" not in str(caught.value)


def test_only_the_end_of_a_log_is_read(tmp_path: Path):
    run = job(tmp_path, "r")
    log_path(run.folder).parent.mkdir()
    with log_path(run.folder).open("wb") as log:
        log.truncate(2**40)  # sparse: reading it whole would take too long
        log.seek(0, os.SEEK_END)
        log.write(b"\nthe last words\n")
    assert note_failure(run.folder, 1).lines[-1] == "the last words"
