"""Which runs count in a comparison: copies, unfinished and failed runs, and how trunks pair them."""

import json
import shutil
from pathlib import Path

import pytest

from fire_rl.experiments.report.contents import report_of
from tests.fixtures.analysed import noted, only, results_of
from tests.fixtures.comparison import write_comparison, write_run


def test_unfinished_and_missing_runs_are_noted_and_not_counted(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))
    write_run(tmp_path / "late", seed=3, reached=4_000)
    write_run(tmp_path / "alone", method="reset", reached=6_000)
    comparison = only(results_of(tmp_path))
    assert comparison.method("none").n == 3
    assert len(comparison.method("none").runs) == 4
    assert comparison.method("reset").final is None
    curve = comparison.method("reset").curve
    assert curve.steps[-1] == 6_000
    assert noted(comparison.notes, "Unfinished runs of none (seed 3 at step 4,000 of 10,000)", "drawn")
    assert noted(comparison.notes, "Unfinished runs of reset", "the curve ends at step 6,000")
    assert noted(comparison.notes, "The methods have different seeds: fire was not run with seed 3")
    assert noted(comparison.notes, "Fewer than 10 runs (none 3, fire 3)")
    assert noted(comparison.notes, "6 of 8 runs are branches")


def test_methods_that_lack_a_trunk_are_paired_on_the_others(tmp_path: Path):
    write_comparison(tmp_path / "a", methods=("none", "fire"), seeds=range(4))
    for file in (tmp_path / "a" / "MinAtar_Breakout-v1-fire-seed2").iterdir():
        file.unlink()
    comparison = only(results_of(tmp_path))
    (contrast,) = comparison.contrasts
    assert (contrast.paired, contrast.final.iqm.n) == (True, 3)
    assert noted(comparison.notes, "compared on the 3 trunks")
    write_comparison(tmp_path / "a", methods=("none",), seeds=range(4, 6))
    write_comparison(tmp_path / "b", methods=("fire",), seeds=range(6, 8))
    (fewer,) = (note for note in only(results_of(tmp_path)).notes if "Fewer than 10" in note)
    assert "none 6, fire 5, pairs of fire and none 3" in fewer
    assert "with 3 normally distributed scores, a nominal 95% interval of the mean covers it in 75%" in fewer


def test_runs_from_the_start_are_not_paired(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3), branch_at=None)
    (contrast,) = only(results_of(tmp_path)).contrasts
    assert not contrast.paired
    assert contrast.final.mean.low < contrast.final.mean.value < contrast.final.mean.high


def test_runs_that_differ_in_more_than_the_method_are_noted(tmp_path: Path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", method="fire", settings={"replay_ratio": 4.0})
    write_run(tmp_path / "c", method="fire", seed=1, event_steps=(5_000,), settings={"replay_ratio": 4.0, "threads": 2})
    results = results_of(tmp_path)
    notes = only(results).notes
    assert noted(notes, "Runs differ in the setting replay ratio: 1 (1 run), 4 (2 runs)")
    assert noted(notes, "Runs of fire differ in reinit at: none (1 run), 5000 (1 run)")
    assert noted(results.notes, "with the same threads: 1 (2 runs), 2 (1 run)")
    assert report_of(results).facts["Replay ratio"] == "1, 4"


def test_copies_of_a_run_count_once_and_other_runs_of_its_seed_are_refused(tmp_path: Path):
    write_run(tmp_path / "a" / "fire", method="fire")
    write_run(tmp_path / "b" / "fire", method="fire", reached=2_000)
    results = results_of(tmp_path)
    assert [run.run.finished for run in only(results).method("fire").runs] == [True]
    assert noted(results.notes, "a/fire and b/fire are copies of one run", "only a/fire is used")
    write_run(tmp_path / "b" / "again", method="fire", settings={"replay_ratio": 8.0})
    with pytest.raises(ValueError, match=r"both fire with seed 0 .* differ in replay ratio \(1 and 8\)"):
        results_of(tmp_path)


def test_runs_of_the_same_settings_and_other_results_are_not_copies(tmp_path: Path):
    write_run(tmp_path / "A0", level=10)
    write_run(tmp_path / "B0", level=20)
    said = r"A0 and B0 in .*, have the same settings but different results: evaluations at step 1,000 have the values "
    with pytest.raises(ValueError, match=said + "1 and 2: report them separately"):
        results_of(tmp_path)
    one, other = tmp_path / "diverged" / "one", tmp_path / "diverged" / "other"
    write_run(one, diverged=7_000)
    write_run(other)
    with pytest.raises(ValueError, match="results: only one of them diverged, at step 7,000"):
        results_of(tmp_path / "diverged")


def test_a_seed_run_from_the_start_and_as_a_branch_is_not_counted_twice(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(2))
    write_run(tmp_path / "whole" / "none")
    with pytest.raises(ValueError, match=r"both none with seed 0 .* where they start, step 5,000 and step 0"):
        results_of(tmp_path)


def test_runs_that_share_one_trunk_are_not_pairs(tmp_path: Path):
    for seed in range(2):
        for method in ("none", "fire"):
            write_run(tmp_path / f"{method}{seed}", method=method, seed=seed, branch_from="/gone/trunk@5000")
    with pytest.raises(
        ValueError, match="2 runs of fire in MinAtar/Breakout-v1 branch from 1 trunk: only one run of each"
    ):
        results_of(tmp_path)


def test_a_run_whose_returns_become_nan_has_no_score(tmp_path: Path):
    write_comparison(tmp_path, methods=("fire",), seeds=range(2), branch_at=None)
    metrics = tmp_path / "MinAtar_Breakout-v1-fire-seed0" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines:
        line |= {"return": None} if line["kind"] == "evaluation" and line["environment_steps"] > 6_000 else {}
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    comparison = only(results_of(tmp_path))
    (fire,) = comparison.methods
    assert [run.final is None for run in fire.runs] == [True, False]
    assert fire.runs[0].area is None
    assert fire.n == 1
    assert noted(comparison.notes, "fire, seed 0, has no return after step 6,000", "the curve of fire ends there")


def test_requested_runs_that_are_missing_and_failed_ones_are_noted(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))
    shutil.rmtree(tmp_path / "MinAtar_Breakout-v1-fire-seed2")
    (tmp_path / "logs").mkdir()
    for name in ("fire-seed2", "none-seed0"):
        noted_there = {"code": -9, "lines": []}
        (tmp_path / "logs" / f"MinAtar_Breakout-v1-{name}.failed.json").write_text(json.dumps(noted_there))
    notes = results_of(tmp_path).notes
    assert noted(notes, "not begun: fire in MinAtar/Breakout-v1, seed 2 (failed: killed (signal 9)")
    assert noted(notes, "none-seed0 failed (killed (signal 9)", "--retry")
    assert not noted(notes, "not begun: none")
