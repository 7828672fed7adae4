"""Trackers of a run are told everything that is logged; wrong ones are refused before the run."""

from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn
from fire_rl.training.lines import read_lines
from fire_rl.training.tracking import process
from tests.fixtures import tracked_runs
from tests.fixtures.calling import call
from tests.fixtures.tracked_runs import OWN, TINY, calls, run

tracked = tracked_runs.tracked
untracked = tracked_runs.untracked
pytestmark = pytest.mark.usefixtures("unrendered_module")


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


def test_a_tracker_that_uses_random_generators_changes_nothing(tracked: Path, untracked: Path):
    run(tracked / "run", "--track", f"{OWN}:Meddling")
    assert calls(tracked)[-1]["verb"] == "finish"
    assert differences(untracked, tracked / "run") == []


def test_a_tracker_needs_only_the_verbs_that_it_wants(tracked: Path):
    run(tracked / "run", "--track", f"{OWN}:Few")
    assert (tracked / "few").read_text() == "240"


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
def test_a_tracker_that_does_not_exist_is_refused_before_anything_is_written(
    tracked: Path, given: list[str], said: str
):
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
