"""`slim.py` frees the space of finished runs, and leaves what a sweep still needs."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fire_rl.commands import slim as slim_script
from fire_rl.commands.slim import why_left
from fire_rl.training.files import claimed, read_json, write_json
from tests.fixtures import faulty_runs
from tests.fixtures.comparison import write_comparison, write_run
from tests.fixtures.faulty_runs import train

whole = faulty_runs.whole
copy = faulty_runs.copy
pytestmark = pytest.mark.usefixtures("unrendered_module")


def test_a_dry_run_says_how_much_space_would_be_freed(copy: Path):
    shared = next((copy / "replay").iterdir())
    os.link(shared, copy.parent / "elsewhere")
    said = train(str(copy), "--dry-run", body=slim_script.body).splitlines()
    assert any(line.endswith("MB would be freed in all; nothing was changed") for line in said)
    assert list((copy / "replay").iterdir())
    freed = next(line for line in said if "would be freed" in line).replace("would be ", "")
    assert freed in train(str(copy), body=slim_script.body)
    assert " 0.0 MB" not in freed


def test_a_run_that_has_not_finished_is_a_mistake_only_if_it_was_named(copy: Path):
    lines = (copy / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
    assert "left as it is (the run has not finished)" in train(str(copy.parent), code=0, body=slim_script.body)
    assert "left as it is (the run has not finished)" in train(str(copy), code=1, body=slim_script.body)
    assert list((copy / "replay").iterdir())


def test_a_run_with_forged_settings_is_named_and_the_others_are_slimmed(copy: Path):
    forged = Path(shutil.copytree(copy, copy.parent / "another"))
    settings = read_json(forged / "config.json")
    write_json(forged / "config.json", settings | {"run": settings["run"] | {"num_envs": 0}})
    said = train(str(copy.parent), code=1, body=slim_script.body)
    assert f"{forged}: not changed ({forged / 'config.json'}: --num-envs 0 in the run's config" in said
    assert not list((copy / "replay").iterdir())


def test_nothing_is_slimmed_while_a_comparison_is_running(copy: Path):
    with claimed(copy.parent):
        assert "in use by another process" in train(str(copy.parent), code=1, body=slim_script.body)
    assert list((copy / "replay").iterdir())


def test_a_trunk_is_left_until_all_its_planned_branches_have_a_result(tmp_path: Path):
    write_comparison(tmp_path, seeds=(0, 1))
    trunk, branch = (tmp_path / f"MinAtar_Breakout-v1-{name}-seed0" for name in ("trunk", "fire"))
    assert why_left(trunk) is None
    shutil.rmtree(branch)
    assert why_left(trunk) == f"its planned branch {branch.name} has no result yet"
    assert why_left(tmp_path / "MinAtar_Breakout-v1-trunk-seed1") is None
    write_run(branch, method="fire", reached=7_000, branch_from=f"{trunk}@5000")
    assert why_left(trunk) == f"its planned branch {branch.name} has no result yet"
    plan = json.loads((tmp_path / "comparison.json").read_text())
    plan["fixed"]["replay_ratio"] = 1  # a second value, whose runs have not begun, has a trunk of its own
    (tmp_path / "comparison.json").write_text(json.dumps(plan | {"axes": {"replay_ratio": ["1", "4"]}}))
    assert why_left(tmp_path / "MinAtar_Breakout-v1-trunk-seed1") is None
    shutil.rmtree(trunk)
    write_run(trunk, steps=5_000, diverged=4_000)
    assert why_left(trunk) is None, "nothing can branch from it"
