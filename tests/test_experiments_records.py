"""Run folders are read as training leaves them, finished or not."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs, notes_on_missing
from fire_rl.experiments.analysis.records import read_run
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.spreadsheet import write_scores
from tests.fixtures.comparison import write_comparison, write_run
from tests.fixtures.phased_comparison import at_ends, write_phased


def test_a_run_is_read_whole(tmp_path: Path):
    folder = write_run(tmp_path / "run", method="redo:tau=0.1+l2-init", seed=3, event_steps=(5_000,), level=20)
    run = read_run(folder)
    assert (run.agent, run.env, run.method, run.seed) == ("dqn", "MinAtar/Breakout-v1", "redo:tau=0.1+l2-init", 3)
    assert (run.steps, run.reached, run.finished, run.branch) == (10_000, 10_000, True, None)
    around = [(evaluation.mean, evaluation.occasion) for evaluation in run.evaluations if evaluation.step == 5_000]
    assert around == [(10.0, "before event"), (pytest.approx(2.0), "after event")]
    (event,) = run.events
    assert (event.step, event.updates, event.cause) == (5_000, 4_000, "schedule")
    (network,) = event.networks
    assert (network.squared_frobenius_error, network.deviation_before, network.deviation_after) == (5.0, 100.0, 1.0)
    assert ("q", "dormant") in run.measures
    assert all("encoder" not in measure for _, measure in run.measures)
    assert (run.seconds, run.own_seconds, run.updates_per_second) == (100.0, 100.0, 90.0)
    assert run.settings["agent.gamma"] == 0.99
    assert "run.seed" not in run.settings


def test_a_branch_knows_its_trunk_and_its_own_time(tmp_path: Path):
    write_comparison(tmp_path, methods=("fire",), seeds=(0,))
    found = find_runs([tmp_path])
    (run,), (trunk,) = found.runs, found.trunks
    assert run.branch is not None
    assert (run.branch.trunk, run.branch.step) == (trunk.folder, 5_000)
    assert (run.seconds, run.own_seconds) == (100.0, 50.0)


def test_a_branch_without_its_trunks_last_line_has_its_time_from_the_trunk(tmp_path: Path):
    """The line at the end of a trunk comes after the checkpoint from which branches begin."""
    write_comparison(tmp_path, methods=("fire",), seeds=(0,))
    metrics = tmp_path / "MinAtar_Breakout-v1-fire-seed0" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for lacks in ((5_000,), range(1, 5_001)):  # the last line of its trunk, and all of them
        kept = [line for line in lines if line.get("kind") != "train" or line["decisions"] not in lacks]
        metrics.write_text("".join(json.dumps(line) + "\n" for line in kept))
        (run,) = find_runs([tmp_path]).runs
        assert (run.seconds, run.own_seconds, run.updates_per_second) == (100.0, 50.0, 100.0)
    (tmp_path / "MinAtar_Breakout-v1-trunk-seed0").rename(tmp_path / "gone")
    (tmp_path / "gone" / "config.json").unlink()
    (run,) = find_runs([tmp_path]).runs
    assert run.seconds == 100.0
    assert math.isnan(run.own_seconds)
    assert math.isnan(run.updates_per_second)
    results = analyse([run], Options(resamples=50))
    cost: Any = results.comparisons[0].methods[0].cost
    assert cost.seconds.mean == 100.0
    assert math.isnan(cost.own_seconds)
    row = next(csv.DictReader(write_scores(results, tmp_path / "scores.csv").open()))
    assert (row["wall_seconds"], row["own_seconds"], row["updates_per_second"]) == ("100.0", "", "")


def test_a_trunk_is_found_where_folders_were_moved(tmp_path: Path):
    write_run(tmp_path / "trunk", steps=5_000)
    run: Any = read_run(write_run(tmp_path / "fire", method="fire", branch_from="/gone/sweep/trunk@5000"))
    assert run.branch.trunk == (tmp_path / "trunk").resolve()
    nowhere = read_run(write_run(tmp_path / "other", method="fire", branch_from="/gone/away@5000"))
    assert nowhere.branch is not None
    assert str(nowhere.branch) == "/gone/away@5000"


def test_another_run_with_the_trunks_name_in_the_working_directory_is_not_taken_for_it(tmp_path: Path, monkeypatch):
    trunk = write_run(tmp_path / "lab" / "runs" / "a", steps=5_000, seed=1)
    write_run(tmp_path / "here" / "runs" / "a", steps=5_000, seed=1)
    folder = write_run(tmp_path / "lab" / "runs" / "fire", method="fire", seed=1, branch_from="runs/a@5000")
    monkeypatch.chdir(tmp_path / "here")
    branch: Any = read_run(folder).branch
    assert branch.trunk == trunk.resolve()


def test_a_trunk_has_its_branchs_seed_and_environment(tmp_path: Path):
    write_run(tmp_path / "other" / "a", steps=5_000, seed=2)  # nearer
    trunk = write_run(tmp_path / "a", steps=5_000, seed=1)
    branch = read_run(write_run(tmp_path / "other" / "fire", method="fire", seed=1, branch_from="a@5000")).branch
    assert branch.trunk == trunk.resolve()


def test_trunks_without_branches_yet_are_not_compared(tmp_path: Path):
    write_comparison(tmp_path, methods=(), seeds=(0, 1))
    found = find_runs([tmp_path])
    assert (len(found.runs), len(found.trunks)) == (0, 2)


def test_a_trunk_that_a_script_made_is_known_by_its_name_and_its_tag(tmp_path: Path):
    for name, tags in (("trunk", ("trunk",)), ("trunk-of-mine", ()), ("none", ("trunk",))):
        write_run(tmp_path / f"MinAtar_Breakout-v1-{name}-seed0", settings={"track_tags": tags})
    found = find_runs([tmp_path])
    assert [run.folder.name for run in found.trunks] == ["MinAtar_Breakout-v1-trunk-seed0"]
    assert len(found.runs) == 2


def test_a_run_that_keeps_its_last_checkpoint_is_not_a_trunk(tmp_path: Path):
    write_run(tmp_path / "run", settings={"checkpoint_at": (10_000,)})
    found = find_runs([tmp_path])
    assert (len(found.runs), len(found.trunks)) == (1, 0)


def test_how_a_run_failed_is_read_from_beside_it(tmp_path: Path):
    folder = write_run(tmp_path / "run", reached=4_000)
    (tmp_path / "logs").mkdir()
    noted = {"code": 1, "lines": ["Traceback", "MemoryError: no more"]}
    (tmp_path / "logs" / "run.failed.json").write_text(json.dumps(noted))
    assert read_run(folder).failure == "exit code 1: MemoryError: no more"


def test_a_trunk_that_went_on_to_the_end_is_the_branch_where_nothing_was_done(tmp_path: Path):
    trunk = write_run(tmp_path / "trunk", settings={"checkpoint_at": (5_000,)})
    write_run(tmp_path / "fire", method="fire", branch_from=f"{trunk}@5000")
    runs = {run.method: run for run in find_runs([tmp_path]).runs}
    assert runs["none"].branch == runs["fire"].branch
    assert runs["none"].own_seconds == 50.0
    write_run(tmp_path / "none", branch_from=f"{trunk}@5000")  # done by a branch of its own
    assert [run.folder.name for run in find_runs([tmp_path]).runs] == ["fire", "none"]


def test_runs_in_progress_are_read_as_far_as_they_are(tmp_path: Path):
    begun = write_run(tmp_path / "begun", reached=-1)
    assert (read_run(begun).evaluations, read_run(begun).finished, read_run(begun).reached) == ((), False, 0)
    (begun / "metrics.jsonl").unlink()
    assert read_run(begun).reached == 0
    half = write_run(tmp_path / "half", reached=4_000)
    metrics = half / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"kind": "evaluation", "environment_steps": 50')
    run = read_run(half)
    assert (run.reached, run.finished, len(run.evaluations)) == (4_000, False, 5)


def test_a_value_that_was_not_finite_is_nan(tmp_path: Path):
    folder = write_run(tmp_path / "run", steps=2_000)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line |= {"return": None} if line["kind"] == "evaluation" else {}
        line |= {"q/dormant": None} if line["kind"] == "measures" else {}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read_run(folder)
    assert math.isnan(run.evaluations[0].mean)
    assert math.isnan(run.measures["q", "dormant"].values[0])


def test_a_folder_that_is_not_a_run_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match=r"is not a run: it has no config\.json"):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="holds no run"):
        find_runs([tmp_path])
    folder = write_run(tmp_path / "run", steps=2_000)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join([lines[0], "what\n", *lines[1:]]))
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is not a line of metrics$"):
        read_run(folder)


def test_a_run_that_diverged_has_ended_and_has_not_finished(tmp_path: Path):
    run: Any = read_run(write_run(tmp_path / "run", diverged=4_500))
    assert (run.finished, run.ended, run.reached) == (False, True, 4_500)
    assert run.diverged.said == "at step 4,500 (critic_loss is nan)"
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))  # as a later resume leaves it
    assert read_run(tmp_path / "run").ended is False


COUNTS = '"decisions": 1, "environment_steps": 1, "updates": 1, "episodes": 1'


@pytest.mark.parametrize(
    "line",
    [
        f'{{"kind": "evaluation", {COUNTS}, "return": "high"}}',
        f'{{"kind": "evaluation", {COUNTS}}}',
        f'{{"kind": "event", {COUNTS}, "method": "fire", "seconds": 1, "networks": [{{"name": "q"}}]}}',
        f'{{"kind": "train", {COUNTS}, "seconds": [1]}}',
        f'{{"kind": "diverged", {COUNTS}}}',
        '{"kind": "evaluation", "environment_steps": 1e400, "return": 1}',
        '{"kind": "train"}',
        "[" * 100_000,
        "\x00",
        "9" * 5_000,
    ],
)
def test_lines_of_metrics_that_no_run_wrote_are_named(tmp_path: Path, line: str):
    folder = write_run(tmp_path / "run", steps=2_000)
    lines = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(f"{line}\n{lines}")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 1 is not a line of metrics$"):
        read_run(folder)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("action_repeat", 0), ("num_envs", -1), ("steps", 10**30), ("steps", "many"), ("seed", None), ("env", 5),
        ("reinit_at", {}),
    ],
)  # fmt: skip
def test_settings_that_no_run_has_are_refused_in_one_line(tmp_path: Path, setting: str, value: object):
    folder = write_run(tmp_path / "run", steps=2_000)
    change_config(folder, "run", setting, value)
    with pytest.raises(ValueError, match=r"config") as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("group", "setting", "value", "said"),
    [
        ("run", "phases", 3, "the 10 classes of fashion come in equal parts"),
        ("run", "data", "fashionn", "did you mean fashion"),
        ("run", "holdout", 1e308, "--holdout .* given; allowed is a finite number"),
        ("run", "newer", 1, "unknown setting 'newer' in the config"),
        ("agent", "network", 5, "agent of the run's config"),
        ("run", "reinit", "a\n", "cannot be printed"),
    ],
)
def test_one_foreign_config_among_others_is_named(tmp_path: Path, group: str, setting: str, value: object, said: str):
    write_phased(tmp_path / "own", at_ends())
    folder = write_phased(tmp_path / "foreign", at_ends(), seed=1)
    change_config(folder, group, setting, value)
    with pytest.raises(ValueError, match=said) as caught:
        find_runs([tmp_path])
    assert str(caught.value).startswith(f"{folder / 'config.json'}: ")
    assert "\n" not in str(caught.value)


def change_config(folder: Path, group: str, name: str, value: object) -> None:
    """Change a value in a group of a run's `config.json`."""
    described = json.loads((folder / "config.json").read_text())
    described[group][name] = value
    (folder / "config.json").write_text(json.dumps(described))


@pytest.mark.parametrize(("key", "value"), [("metric", {"name": ""}), ("metric", {"name": " "}), ("progress", "_")])
def test_a_metric_and_a_unit_of_steps_have_a_name(tmp_path: Path, key: str, value: object):
    folder = write_phased(tmp_path / "run", at_ends())
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | {key: value}))
    with pytest.raises(ValueError, match=r"run/config\.json[^\n]*$"):
        read_run(folder)


@pytest.mark.parametrize("branch", [5, "trunk@" + "9" * 5_000, "a" * 5_000, "a\0b@500", "trunk@-5", "loop@5"])
def test_a_trunk_that_is_not_possible_is_refused_in_one_line(tmp_path: Path, branch: object):
    folder = write_run(tmp_path / "run", steps=2_000)
    (tmp_path / "loop").symlink_to("loop")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | {"branch_from": branch}))
    with pytest.raises(ValueError, match="run") as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_pipes_links_and_what_is_too_large_are_refused_at_once(tmp_path: Path):
    folder = write_run(tmp_path / "run", steps=2_000)
    (folder / "metrics.jsonl").unlink()
    os.mkfifo(folder / "metrics.jsonl")
    with pytest.raises(ValueError, match=r"metrics\.jsonl: is not a regular file$"):
        read_run(folder)
    for name in ("pipe", "large", "linked"):
        write_run(tmp_path / name, steps=2_000)
        (tmp_path / name / "config.json").unlink()
    os.mkfifo(tmp_path / "pipe" / "config.json")
    with (tmp_path / "large" / "config.json").open("w") as file:
        file.truncate(2**40)
    (tmp_path / "linked" / "config.json").symlink_to("/etc/passwd")
    for name, said in (("pipe", "not a regular file"), ("large", "bytes"), ("linked", "symbolic link")):
        with pytest.raises(ValueError, match=rf"{name} is not a run: .*{said}[^\n]*$"):
            read_run(tmp_path / name)


@pytest.mark.parametrize(
    "plan",
    ["[]", "{}", '{"fixed": 3}', '{"fixed": {}, "seeds": ["a"]}', '{"fixed": {}, "envs": 3}', "[" * 100_000, "what"],
)
def test_a_plan_that_no_comparison_wrote_is_named_in_one_line(tmp_path: Path, plan: str):
    write_run(tmp_path / "run", steps=2_000)
    (tmp_path / "comparison.json").write_text(plan)
    with pytest.raises(ValueError, match=r"comparison\.json") as caught:
        find_runs([tmp_path])
    assert "\n" not in str(caught.value)


def test_a_plan_of_too_many_runs_is_refused(tmp_path: Path):
    run = read_run(write_run(tmp_path / "run", steps=2_000))
    plan = {"fixed": {}, "envs": ["e"] * 9_000, "methods": ["m"] * 9_000, "seeds": [0] * 9_000}
    (tmp_path / "comparison.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"comparison\.json plans 729,000,000,000 runs"):
        notes_on_missing([run], [])


@pytest.mark.parametrize("length", [240, 300])  # the run's own name is possible, or is too long itself
def test_a_planned_run_whose_name_is_too_long_for_a_file_has_not_begun(tmp_path: Path, length: int):
    run = read_run(write_run(tmp_path / "run", steps=2_000))
    (tmp_path / "logs").mkdir()
    method = "m" * length
    plan = {"fixed": {}, "envs": ["e"], "methods": [method], "seeds": [0]}
    (tmp_path / "comparison.json").write_text(json.dumps(plan))
    assert notes_on_missing([run], []) == (f"Planned, but not begun: {method} in e, seed 0.",)
