"""Diverged runs in the report: none is dropped, and each counts with the return of a policy that fails."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.curve_figures import draw_curves
from fire_rl.experiments.report.drawing import looks, style
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.page import write_report
from fire_rl.experiments.report.spreadsheet import write_scores
from tests.fixtures.analysed import noted, only, results_of
from tests.fixtures.comparison import write_comparison, write_run


def test_a_run_that_diverged_counts_as_a_policy_that_fails_from_there_on(tmp_path: Path):
    for seed in range(4):
        for method in ("none", "fire"):
            at = 4_500 if (method, seed) == ("none", 3) else None
            write_run(tmp_path / f"{method}{seed}", agent="sac", env="h1-walk", method=method, seed=seed, diverged=at)
    results = results_of(tmp_path)
    comparison = only(results)
    none, random = comparison.method("none"), 2.377  # as published
    assert none.n == 4
    run = none.runs[3]
    assert (run.final, run.normalised) == (random, 0.0)
    curve = dict(zip(run.steps, run.values, strict=True))
    assert [curve[step] for step in (4_500, 5_000, 9_000, 10_000)] == [random] * 4
    level = 13.0  # the return of a run of that seed that finishes
    known, jump = 0.4 * level, (0.4 * level + random) / 2  # at step 4,000, and between there and the divergence
    assert curve[4_000] == pytest.approx(known)
    assert run.area == pytest.approx((known / 2 * 4_000 + jump * 500 + random * 5_500) / 10_000)
    finals = [each.final for each in none.runs]
    assert none.final.mean.value == pytest.approx(np.mean(np.array(finals, dtype=float)))
    assert (none.curve.iqm.n, none.curve.steps.tolist()) == (4, list(range(0, 10_001, 1_000)))
    assert not none.curve.interpolated
    assert none.curve.mean.value[-1] == pytest.approx((10 + 11 + 12 + random) / 4)
    assert comparison.contrasts[0].final.mean.n == 4
    (note,) = [note for note in comparison.notes if "diverged" in note]
    assert note.startswith(
        "none, seed 3 diverged at step 4,500 (critic_loss is nan): from there to the planned end it counts with a "
        "return of 2.377 (the published one of a random policy)"
    )
    assert not noted(comparison.notes, "Unfinished")
    assert not noted(comparison.notes, "Not all runs were evaluated at the same steps")


def test_without_a_published_return_a_diverged_run_counts_with_the_lowest_of_all(tmp_path: Path):
    write_run(tmp_path / "a", method="fire", returns={0: 3.0, 5_000: 5.0, 10_000: 8.0})
    write_run(tmp_path / "b", method="redo", reached=5_000, returns={0: 2.0, 5_000: -7.0, 10_000: 8.0})
    write_run(tmp_path / "c", returns={0: 3.0, 5_000: 5.0, 10_000: 9.0}, diverged=9_800)
    comparison = only(results_of(tmp_path))
    none = comparison.method("none")
    assert none.runs[0].final == -7.0, "in the last tenth, too"
    assert none.runs[0].steps.tolist() == [0, 5_000, 9_800, 10_000]
    assert noted(
        comparison.notes, "none, seed 0 diverged at step 9,800", "-7 (the lowest one in any evaluation of these runs)"
    )
    curve = comparison.method("fire").curve
    assert not curve.interpolated


def test_a_diverged_run_counts_in_profile_and_threshold_and_not_in_means_of_measures_and_time(tmp_path: Path):
    for seed in range(2):
        write_run(tmp_path / str(seed), seed=seed, level=10, diverged=3_500 if seed else None)
    (none,) = only(results_of(tmp_path, options=Options(threshold=9.0, resamples=50))).methods
    assert (none.threshold.share.value, none.threshold.share.n) == (0.5, 2)
    assert none.runs[1].steps_to_threshold == np.inf
    assert none.profile.share.value[0] == 1.0
    assert none.profile.share.value[len(none.profile.taus) // 2] == 0.5
    assert none.measures[0].steps[-1] == 10_000
    assert none.measures[0].n == 1
    assert (none.cost.n, none.cost.seconds.mean) == (1, 100.0)


def test_an_event_that_a_run_did_not_reach_because_it_diverged_is_still_counted(tmp_path: Path):
    for seed in range(3):
        at = 3_500 if seed == 2 else None
        write_run(tmp_path / str(seed), method="fire", level=10, seed=seed, event_steps=(5_000,), diverged=at)
    comparison = only(results_of(tmp_path))
    curve = comparison.methods[0].curve
    assert curve.before[5_000].mean.value == pytest.approx((5 + 5 + 0) / 3)
    assert not noted(comparison.notes, "had their events at the same steps")
    assert comparison.methods[0].gap.events == 2


def test_branches_that_diverged_stay_paired_and_a_diverged_trunk_is_noted(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))
    shutil.rmtree(tmp_path / "MinAtar_Breakout-v1-none-seed1")
    trunk = tmp_path / "MinAtar_Breakout-v1-trunk-seed1"
    write_run(
        tmp_path / "MinAtar_Breakout-v1-none-seed1", seed=1, branch_from=f"{trunk}@5000", bend=(5_000, 6.0),
        diverged=6_000,
    )  # fmt: skip
    comparison = only(results_of(tmp_path))
    (contrast,) = comparison.contrasts
    assert (contrast.paired, contrast.final.iqm.n) == (True, 3)
    none = comparison.method("none").runs[1]
    assert none.area == pytest.approx(
        (6 + 7) / 2 * 0.2
    )  # in the branch's part, the first fifth with its returns, then 0
    for name in ("none", "fire", "trunk"):
        shutil.rmtree(tmp_path / f"MinAtar_Breakout-v1-{name}-seed2")
    write_run(tmp_path / "MinAtar_Breakout-v1-trunk-seed2", seed=2, steps=5_000, diverged=4_000)
    results = results_of(tmp_path)
    assert noted(results.notes, "trunk-seed2 diverged at step 4,000 (critic_loss is nan): no method can branch from it")
    assert only(results).method("none").n == 2


def test_a_run_that_diverged_before_any_evaluation_is_noted_and_has_no_score_if_nothing_is_known(tmp_path: Path):
    folder = write_run(tmp_path / "run", diverged=500)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(lines[-1])
    comparison = only(results_of(tmp_path))
    assert comparison.methods[0].final is None
    assert noted(comparison.notes, "none, seed 0 diverged at step 500", "has no score")


def test_a_last_evaluation_that_is_not_finite_is_noted(tmp_path: Path):
    folder = write_run(tmp_path / "run", level=10)
    metrics = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    lines[-1]["return"] = None
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    comparison = only(results_of(tmp_path))
    assert comparison.methods[0].runs[0].final == 9.0
    assert noted(comparison.notes, "none, seed 0, has no return in its last evaluation", "shortly before")


def test_scores_and_summary_say_how_a_run_ended(tmp_path: Path):
    for seed in range(3):
        diverged, reached = {1: 3_500}.get(seed), {2: 4_000}.get(seed)
        write_run(tmp_path / str(seed), seed=seed, diverged=diverged, reached=reached)
    results = results_of(tmp_path)
    rows = list(csv.DictReader(write_scores(results, tmp_path / "scores.csv").open()))
    assert [row["ended"] for row in rows] == ["finished", "diverged at step 3,500", "unfinished"]
    assert (rows[1]["final"], rows[2]["final"]) == ("0.0", "")
    text = markdown(report_of(results))
    assert "| none | 2, 1 diverged |" in text
    assert "seed 1 diverged at step 3,500" in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_text_that_a_spreadsheet_would_compute_is_escaped_and_numbers_stay_numbers(tmp_path: Path, start: str):
    word = f"{start}HYPERLINK(0)"
    write_run(tmp_path / "a", method="x", settings={"reinit": word}, returns={0: -1.0, 10_000: -2.0})
    results = results_of(tmp_path)
    (row,) = csv.DictReader(write_scores(results, tmp_path / "scores.csv").open(newline=""))
    assert row["method"] == f"'{word}"
    assert row["final"] == "-2.0"
    for place in ("-10", "+1e-05", "-.5"):  # values of an axis are text, and numbers
        over = replace(results, comparisons=(replace(results.comparisons[0], place=(place, f"{place}+1")),))
        assert f",{place},'{place}+1," in write_scores(over, tmp_path / "scores.csv").read_text()


@pytest.mark.parametrize("letter", ["\t", "\r", "\n", "\x1b"])
def test_text_that_cannot_be_printed_is_refused(tmp_path: Path, letter: str):
    write_run(tmp_path / "a", method="x", settings={"reinit": f"{letter}HYPERLINK(0)"}, returns={0: -1.0})
    with pytest.raises(ValueError, match="cannot be printed"):
        results_of(tmp_path)


def test_the_page_marks_where_runs_diverged(tmp_path: Path):
    for seed in range(2):
        write_run(tmp_path / str(seed), seed=seed, diverged=3_500 if seed else None)
    results = results_of(tmp_path)
    page = write_report(results, tmp_path).read_text()
    for said in (
        "1 finished and 1 diverged of 2",
        "diverged at step 3,500",
        "Crosses: where runs diverged",
        "2, 1 diverged",
    ):
        assert said in page, said
    with style():
        (axes,) = draw_curves(only(results), looks(results.methods), (300, 200), "iqm", True).axes
    crosses = [np.asarray(line.get_xydata()).tolist() for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [[[3_500.0, 0.0]]]
