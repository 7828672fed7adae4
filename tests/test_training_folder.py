"""What is said of a folder that is not a run, and of a run that has finished."""

import os
import shutil
from pathlib import Path

import pytest

from fire_rl.commands.train import train_sac
from fire_rl.training.folder import not_a_run
from tests.fixtures.calling import quietly
from tests.test_training_branch import TINY


def test_a_folder_that_is_not_a_run_is_answered_with_a_run_that_is_there(tmp_path: Path):
    assert not_a_run(tmp_path / "NAME") == f"{tmp_path / 'NAME'} is not a run: there is no such folder"
    for age, name in enumerate(("h1-walk-fire-seed0", "first")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    assert not_a_run(tmp_path / "NAME").endswith(
        f"no such folder; the newest run in {tmp_path} is {tmp_path / 'h1-walk-fire-seed0'}"
    )
    assert not_a_run(tmp_path / "h1-walk-fire-sed0").endswith("no such folder; did you mean h1-walk-fire-seed0?")
    assert not_a_run(tmp_path).endswith(
        f"it has no config.json; the newest run in it is {tmp_path / 'h1-walk-fire-seed0'}"
    )
    assert not_a_run(tmp_path / "first" / "NAME" / "deeper").endswith("there is no such folder")


@pytest.mark.usefixtures("unrendered")
def test_resuming_a_finished_run_says_that_it_has_finished(tmp_path: Path):
    run, copy = tmp_path / "run", tmp_path / "copy"
    quietly(train_sac, *TINY, "--steps", "200", "--run-dir", str(run))
    shutil.copytree(run, copy)
    assert "run: finished already, at step 200; to continue it, give a larger --steps" in quietly(
        train_sac, "--resume", str(run)
    )
    assert "copy: continuing at step 200" in quietly(train_sac, "--resume", str(copy), "--steps", "260")
