"""The results of a comparison, from the folders of its runs."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.spreadsheet import write_scores
from tests.fixtures.analysed import noted, only, results_of
from tests.fixtures.comparison import write_comparison, write_run


def test_methods_are_compared_with_the_baseline_and_with_fire(tmp_path: Path):
    write_comparison(tmp_path, methods=("fire", "none", "redo", "reset"), seeds=range(3))
    results = results_of(tmp_path)
    comparison = only(results)
    assert [method.method for method in comparison.methods] == ["none", "redo", "reset", "fire"]
    assert (comparison.baseline, comparison.reference, comparison.branch_step) == ("none", "fire", 5_000)
    pairs = [(each.method, each.against) for each in comparison.contrasts]
    assert pairs == [
        ("redo", "none"), ("reset", "none"), ("fire", "none"), ("fire", "redo"), ("fire", "reset"),
    ]  # fmt: skip
    assert all(each.paired for each in comparison.contrasts)
    fire = comparison.contrasts[2]  # each seed ends 6 higher, whatever its trunk
    assert fire.final.mean.value == pytest.approx(5.4)
    assert fire.final.mean.high - fire.final.mean.low == pytest.approx(0, abs=1e-9)
    assert len(results.trunks) == 3
    other = only(results_of(tmp_path, options=Options(baseline="redo", reference="none", resamples=50)))
    assert [method.method for method in other.methods] == ["redo", "fire", "reset", "none"]


def test_a_threshold_is_reached_only_where_something_was_evaluated(tmp_path: Path):
    """At the branch, between two evaluations, a straight line would already be above it."""
    trunk = f"{tmp_path / 'trunk'}@2500"
    returns = {0: 0.0, 2_000: 4.0, 3_000: 6.0, 4_000: 7.0}
    write_run(tmp_path / "none", steps=4_000, branch_from=trunk, returns=returns)
    write_run(
        tmp_path / "fire", method="fire", steps=4_000, branch_from=trunk, returns=returns | {2_500: 5.0},
        event_steps=(2_500,), dip=0.0,
    )  # fmt: skip
    comparison = only(results_of(tmp_path, options=Options(threshold=4.9)))
    reached = {method.method: method.runs[0].steps_to_threshold for method in comparison.methods}
    assert reached == {"none": 3_000, "fire": 2_500}
    assert [method.runs[0].already for method in comparison.methods] == [False, True]


def test_trunks_that_were_already_above_the_threshold_are_counted(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))  # trunks end at 5, 6 and 7
    comparison = only(results_of(tmp_path, options=Options(threshold=6.0, resamples=50)))
    for method in comparison.methods:
        assert method.threshold.already == 2
        assert [run.already for run in method.runs] == [False, True, True]


def test_thresholds_are_the_success_bar_or_a_share_of_the_best_baseline(tmp_path: Path):
    write_comparison(tmp_path / "low", agent="sac", environments=("h1-walk",), methods=("none", "fire"), seeds=(0, 1))
    low = only(results_of(tmp_path / "low"))
    start = 2.377  # of a random policy
    none = float(np.mean(np.array([run.final for run in low.method("none").runs], dtype=float)))
    assert low.threshold.value == pytest.approx(start + 0.9 * (none - start))
    assert "none" in low.threshold.meaning
    write_run(tmp_path / "high", agent="sac", env="h1-walk", level=900)
    high = only(results_of(tmp_path / "high"))
    assert (high.threshold.value, high.threshold.meaning) == (700.0, "the success bar of h1-walk")
    assert high.methods[0].runs[0].steps_to_threshold == 8_000
    given = only(results_of(tmp_path / "high", options=Options(threshold=1_000, resamples=50)))
    assert (given.methods[0].runs[0].steps_to_threshold, given.methods[0].runs[0].reached) == (np.inf, False)
    assert noted(given.notes, "never reached the threshold", "none 1 of 1")
    write_run(tmp_path / "minatar")
    with pytest.raises(ValueError, match=r"MinAtar/Breakout-v1 has no success bar"):
        results_of(tmp_path / "minatar", options=Options(threshold="success"))


def test_runs_without_a_common_step_have_a_curve_between_their_evaluations(tmp_path: Path):
    write_run(tmp_path / "a", seed=0, returns={0: 1, 1_000: 2, 10_000: 11})
    write_run(tmp_path / "b", seed=1, returns={500: 1, 9_500: 10, 10_100: 4})
    curve = only(results_of(tmp_path)).methods[0].curve
    assert curve.steps.tolist() == [500, 1_000, 9_500, 10_000]
    assert curve.mean.value[:2] == pytest.approx([1.25, 1.75])
    write_run(tmp_path / "c", seed=2, returns={11_000: 1})
    assert only(results_of(tmp_path)).methods[0].curve is None


def test_intervals_are_judged_by_the_fewest_runs_in_an_environment(tmp_path: Path):
    tasks = ("h1-walk", "h1-run")
    write_comparison(tmp_path, agent="sac", environments=tasks, methods=("none", "fire"), seeds=range(5))
    write_run(tmp_path / "reset0", agent="sac", env="h1-walk", method="reset")
    write_run(tmp_path / "reset1", agent="sac", env="h1-run", method="reset")
    results = results_of(tmp_path)
    (across,) = results.across
    assert across.methods[0].final is not None
    final = across.methods[0].final.iqm
    assert (final.n, final.smallest, final.runs_in_words()) == (10, 5, "2 environments × 5 runs")
    assert len(across.methods[0].runs) == 10
    assert noted(across.notes, "Fewer than 10 runs in an environment", "none 2 environments × 5 runs", "84%", "91%")
    single = next(each for each in results.comparisons[0].contrasts if each.method == "reset")
    assert (single.final.iqm.bounded, single.final.iqm.runs_in_words()) == (False, "1 and 5 runs")
    assert not next(each for each in across.contrasts if each.method == "reset").final.iqm.bounded
    assert noted(results.comparisons[0].notes, "reset 1", "a single run has no interval")
    joint: Any = next(each for each in across.contrasts if each.method == "fire")
    assert (joint.final.trunks.better, joint.final.trunks.share.n, len(joint.trunk_differences)) == (10, 10, 10)


def test_environments_are_averaged_in_normalised_scores_only(tmp_path: Path):
    tasks = ("h1-walk", "h1-run")
    write_comparison(tmp_path, agent="sac", environments=tasks, methods=("none", "fire"), seeds=range(3))
    results = results_of(tmp_path)
    (across,) = results.across
    none: Any = next(method for method in across.methods if method.method == "none")
    scores = [run.normalised for each in results.comparisons for run in each.method("none").runs]
    assert none.final.mean.value == pytest.approx(np.mean(np.array(scores, dtype=float)))
    assert (none.n, none.final.iqm.n) == (6, 6)
    assert none.curve is not None
    assert across.contrasts[0].paired
    fire: Any = next(method for method in across.methods if method.method == "fire")
    step = list(fire.curve.steps).index(5_000)
    assert fire.curve.before[5_000].mean.value > fire.curve.mean.value[step]
    assert fire.curve.before[5_000].mean.value == pytest.approx(none.curve.mean.value[step])
    write_run(tmp_path / "other", agent="sac", env="HalfCheetah-v5")
    results = results_of(tmp_path)
    assert results.across == ()
    assert noted(results.notes, "HalfCheetah-v5", "no published references")


def test_unknown_methods_are_refused_with_the_nearest(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=(0,))
    with pytest.raises(ValueError, match=r"'fir' given; the runs have the methods fire, none; nearest is fire"):
        results_of(tmp_path, options=Options(reference="fir"))


def test_scores_and_summary_hold_every_run_and_every_interval(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(2))
    write_run(tmp_path / "odd", method="mine_|*:Method", settings={"reinit": "none", "regularize": ("a|_b*",)})
    write_run(tmp_path / "begun", method="reset", reached=-1)
    results = results_of(tmp_path)
    rows = list(csv.DictReader(write_scores(results, tmp_path / "scores.csv").open()))
    assert len(rows) == 6
    fire = next(row for row in rows if row["method"] == "fire")
    assert float(fire["final"]) == pytest.approx(14.9)
    assert (fire["branch_step"], fire["reached"]) == ("5000", "True")
    assert fire["trunk"].endswith("trunk-seed0")
    begun = next(row for row in rows if row["method"] == "reset")
    assert (begun["ended"], begun["final"]) == ("unfinished", "")
    assert fire["ended"] == "finished"
    text = markdown(report_of(results))
    assert r"none+a\|\_b\*" in text
    assert "95% percentile bootstrap, exact, all resamples of 2 runs" in text
    assert "jointly for both methods" in text
    assert "Kaplan-Meier" in text
    tables = [line for line in text.splitlines() if line.startswith("| fire |")]
    assert len(tables) >= 4
