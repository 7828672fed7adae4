"""Published results in a report: shown with intervals, and never paired with one's own runs."""

import csv
from typing import Any

import numpy as np
import pytest

from fire_rl import envs
from fire_rl.commands import compare
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.comparison import report
from fire_rl.experiments.published.files import read_published
from fire_rl.experiments.published.joined import join
from fire_rl.experiments.report.latex import latex_table
from fire_rl.experiments.report.page import write_report
from tests.fixtures import published_runs
from tests.fixtures.comparison import write_comparison, write_run
from tests.fixtures.published_runs import OPTIONS, in_walk, joined, rows, write

ours = published_runs.ours


def test_published_methods_add_curves_and_rows_and_change_none_of_our_own(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", [*rows(), *rows(env="h1-sit_hard-v0")])
    results, _ = joined(ours, file)
    assert results.published == ("xqc (published)",)
    assert results.methods == ours.methods
    for before, after in zip(ours.comparisons, results.comparisons, strict=True):
        assert after.methods[:-1] == before.methods
        assert after.own == before.methods
        assert after.contrasts == before.contrasts, "no difference to methods without a common trunk"
        method: Any = after.methods[-1]
        assert method.published == file
        assert method.n == 2
        assert [run.final for run in method.runs] == [100.0, 110.0], "at 10,000, where runs here end"
        assert method.curve.steps.tolist() == [0, 5_000, 10_000]
        assert method.final.mean.low <= method.final.mean.value == 105.0 <= method.final.mean.high
        assert method.threshold is None, "steps of branches count from the branch on"


def test_after_a_branch_the_area_is_over_the_same_steps_as_our_own(ours, tmp_path):
    results, _ = joined(ours, write(tmp_path / "xqc.csv", rows()))
    assert [run.area for run in in_walk(results).methods[-1].runs] == [75.0, 85.0]


def test_all_environments_together_are_the_mean_of_normalised_scores(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", [*rows(), *rows(env="h1_sit_hard_v0")])
    results, _ = joined(ours, file)
    method: Any = results.across[0].methods[-1]
    wanted = [envs.normalised_score(env, value) for env in ("h1-walk", "h1-sit_hard") for value in (100.0, 110.0)]
    assert method.final.mean.value == pytest.approx(np.mean([value for value in wanted if value is not None]))
    assert results.across[0].contrasts == ours.across[0].contrasts
    alone, said = joined(ours, write(tmp_path / "walk.csv", rows()))
    assert alone.across[0].methods == ours.across[0].methods
    assert "xqc (published) has final returns in 1 of 2 environments; it is not averaged over environments." in said


def test_every_known_difference_of_protocol_is_noted(ours, tmp_path):
    _, said = joined(ours, write(tmp_path / "FlashSAC.csv", [*rows("FlashSAC"), *rows("FlashSAC", "h1-sit_hard-v0")]))
    assert said == (
        "FlashSAC (published): its file goes on to step 20,000; it is cut at step 10,000, where the runs here end.",
        "FlashSAC (published): it has 2 seeds, and the methods here have 3.",
        "FlashSAC (published): its number of evaluations in the last tenth of the steps, whose mean is the final "
        "return, is 1, and ours is 2.",
        "FlashSAC (published): each of its evaluations has 50 episodes, each of ours 10.",
    )
    _, said = joined(ours, write(tmp_path / "simba.csv", rows("simbaV2_utd2", steps=range(0, 8_001, 4_000))))
    words = " ".join(said)
    assert "h1-sit_hard: simbaV2_utd2 (published): its file has no results in h1-sit_hard." in words
    assert "its last evaluation is at step 8,000, and the runs here have 10,000 steps." in words
    assert "each of its actions is repeated for 2 environment steps, ours for 1: at the same step" in words
    _, said = joined(ours, write(tmp_path / "other.csv", rows("somebody")))
    assert "and what env_step counts; it is read as environment steps" in " ".join(said)


def test_returns_that_look_normalised_are_noted(ours, tmp_path):
    small = [(*row[:5], 0.5) for row in rows()]
    _, said = joined(ours, write(tmp_path / "xqc.csv", small))
    assert "look like normalised scores, but are read as returns" in " ".join(said)


def test_a_method_whose_evaluations_begin_after_the_end_is_left_out_with_a_note(ours, tmp_path):
    results, said = joined(ours, write(tmp_path / "xqc.csv", rows(steps=range(0, 200_001, 100_000))))
    assert in_walk(results).methods == in_walk(ours).methods
    assert "left out, as its first evaluation after step 0 is at step 100,000" in " ".join(said)


def test_without_a_branch_the_threshold_is_looked_for_in_published_runs_too(tmp_path):
    write_run(tmp_path / "runs" / "a", env="h1-walk", agent="sac", steps=10_000)
    results = analyse(find_runs([tmp_path / "runs"]).runs, OPTIONS)
    reached: Any = in_walk(joined(results, write(tmp_path / "xqc.csv", rows()))[0]).methods[-1].threshold
    assert reached.share.value == 1.0


def test_the_report_shows_them_with_their_file_and_the_limits_of_the_comparison(tmp_path, capsys):
    write_comparison(
        tmp_path / "runs", agent="sac", environments=("h1-walk",), seeds=range(2), methods=("none", "fire")
    )
    file = write(tmp_path / "xqc.csv", [*rows(), *rows("=cmd|' /C calc'!A0")])
    arguments = ["--report-only", str(tmp_path / "runs"), "--dir", str(tmp_path / "report"), "--against", str(file)]
    assert compare.body(arguments) == 0
    assert (
        "warning: xqc (published): it was cut" in (out := capsys.readouterr().out) or "warning: xqc (published)" in out
    )
    page, summary = ((tmp_path / "report" / name).read_text() for name in ("report.html", "summary.md"))
    for text in (page, summary):
        assert "Published results" in text
        assert "2 methods on h1-walk" in text
        assert "4 finished of 4" in text
    scores = list(csv.DictReader((tmp_path / "report" / "scores.csv").open()))
    theirs = [row for row in scores if row["agent"] == "published"]
    assert [(row["method"], row["seed"], row["final"]) for row in theirs[:2]] == [
        ("xqc (published)", "0", "100.0"), ("xqc (published)", "1", "110.0"),
    ]  # fmt: skip
    assert all(not row["method"].startswith("=") for row in scores)
    assert "xqc (published) minus" not in page
    assert "minus xqc" not in page


def test_without_files_a_report_does_not_change(ours):
    assert join(ours, ()) == (ours, ())
    assert report.__kwdefaults__ is not None
    assert report.__kwdefaults__["published"] == ()


def test_one_of_several_matching_names_is_used_with_a_note(ours, tmp_path):
    found = [*rows(env="h1-walk-v3"), *rows(env="h1_walk", seeds=(5,)), *rows(env="h1-walk", seeds=(7,))]
    results, said = joined(ours, write(tmp_path / "xqc.csv", found))
    assert [run.run.seed for run in in_walk(results).methods[-1].runs] == [7]
    assert "its file has h1-walk and h1_walk and h1-walk-v3, which may all mean h1-walk; h1-walk is used" in " ".join(
        said
    )
    (method,) = read_published([write(tmp_path / "two.csv", [*rows(env="Hopper"), *rows(env="Hopper_v4")])])
    assert method.environments("Hopper-v4") == ["Hopper_v4", "Hopper"]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_published_seeds_that_diverged_are_named_and_not_in_the_mean(value, ours, tmp_path):
    found = [(*row[:5], value if row[2] == 1 and row[4] != 0 else row[5]) for row in rows(seeds=(0, 1, 2))]
    found = [(*row[:5], value if row[2] == 2 else row[5]) for row in found]
    results, said = joined(ours, write(tmp_path / "xqc.csv", found))
    words = " ".join(said)
    assert [run.run.seed for run in in_walk(results).methods[-1].runs] == [0]
    assert "seed 1 is left out: its evaluations after step 0 are not finite numbers" in words
    assert "seed 2 is left out: its evaluations are not finite numbers" in words
    assert "mean and the intervals do not include it" in words
    assert "ended before" not in words
    none = [(*row[:5], value) for row in rows()]
    assert "none of its evaluations is a finite number" in " ".join(joined(ours, write(tmp_path / "xqc2.csv", none))[1])


def test_a_published_method_that_ends_early_has_a_curve_and_no_scores(ours, tmp_path):
    results, said = joined(ours, write(tmp_path / "xqc.csv", rows(steps=range(0, 8_001, 4_000))))
    method = in_walk(results).methods[-1]
    assert method.curve is not None
    assert (method.final, method.area, method.normalised) == (None, None, None)
    assert "it has no final return and no area, as it ends at step 8,000, before 90% of the 10,000" in " ".join(said)
    write_report(results, tmp_path / "report")
    (row,) = [line for line in latex_table(results).splitlines() if "xqc (published)" in line]
    assert row.endswith(r"& 2 & -- & -- & -- \\")
    scores = list(csv.DictReader((tmp_path / "report" / "scores.csv").open()))
    assert {(each["final"], each["area"]) for each in scores if each["agent"] == "published"} == {("", "")}


def test_unknown_protocols_are_noted_once_for_all_methods(ours, tmp_path):
    found = [*rows("one"), *rows("two"), *rows("one", "h1-sit_hard-v0"), *rows("xqc")]
    results, said = joined(ours, write(tmp_path / "many.csv", found))
    (unknown,) = [sentence for sentence in said if "neither the file nor the method's name tells" in sentence]
    assert unknown.startswith("one (published), two (published): ")
    assert unknown in results.notes
