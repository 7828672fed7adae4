"""Published results beside one's own: read from the layout of others, shown with intervals, never paired."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fire_rl import envs
from fire_rl.commands import compare
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.axis import analyse_all
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Comparison, Options, Results
from fire_rl.experiments.comparison import report
from fire_rl.experiments.published.files import COLUMNS, MOST_BYTES, read_published, same_environment
from fire_rl.experiments.published.joined import join
from fire_rl.experiments.report.latex import latex_table
from fire_rl.experiments.report.page import write_report
from tests.fixtures.comparison import write_comparison, write_run

OPTIONS = Options(resamples=50)
STEPS = range(0, 20_001, 5_000)


def rows(
    method: str = "xqc", env: str = "h1-walk-v0", seeds: tuple[int, ...] = (0, 1), steps: range = STEPS
) -> list[tuple[object, ...]]:
    """Returns that rise with the step, by 10 for each seed; and what is not read."""
    return [
        (method, env, seed, metric, float(step), value)
        for seed in seeds for step in steps
        for metric, value in (("avg_return", step / 100 + 10 * seed), ("avg_success", 0.0))
    ]  # fmt: skip


def write(
    path: Path, found: Sequence[tuple[object, ...]], columns: tuple[str, ...] = COLUMNS, numbered: bool = True
) -> Path:
    """As pandas leaves a table: with a column of numbers that has no name, or without it."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("", *columns) if numbered else columns)
        table.writerows((place, *row) if numbered else row for place, row in enumerate(found))
    return path


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Results:
    """Two methods from shared trunks, in two environments."""
    folder = tmp_path_factory.mktemp("runs")
    environments = ("h1-walk", "h1-sit_hard")
    write_comparison(folder, agent="sac", environments=environments, seeds=range(3), methods=("none", "fire"))
    found = find_runs([folder])
    return analyse(found.runs, OPTIONS, found.trunks)


def joined(results: Results, *files: Path) -> tuple[Results, tuple[str, ...]]:
    return join(results, read_published(files))


def in_walk(results: Results) -> Comparison:
    return next(each for each in results.comparisons if each.env == "h1-walk")


@pytest.mark.parametrize("numbered", [True, False])
def test_a_file_gives_each_method_its_seeds_and_their_returns_by_step(tmp_path, numbered):
    found = [*rows(), *rows("FlashSAC", "h1-sit_hard-v0", (4000,))]
    one, other = read_published([write(tmp_path / "all.csv", found, numbered=numbered)])
    assert (one.name, other.name) == ("xqc (published)", "FlashSAC (published)")
    assert [series.seed for series in one.runs["h1-walk-v0"]] == [0, 1]
    assert one.runs["h1-walk-v0"][1].returns == {step: step / 100 + 10 for step in STEPS}
    assert other.runs.keys() == {"h1-sit_hard-v0"}


@pytest.mark.parametrize(
    ("theirs", "own", "same"),
    [
        ("h1-walk-v0", "h1-walk", True),
        ("h1_sit_hard_v0", "h1-sit_hard", True),
        ("h1-balance-simple-v0", "fire_rl/h1-balance_simple-v0", True),
        ("h1-walk-v0", "humanoid_bench:h1-walk-v0", True),
        ("h1hand-walk-v0", "h1-walk", False),
        ("humanoid-walk", "h1-walk", False),
        ("Isaac-Velocity-Rough-H1-v0", "h1-walk", False),
        ("dog_trot", "dmc:dog-trot", True),
        ("Ant-v4", "Ant-v5", False),
        ("Ant-v4", "Ant-v4", True),
        ("Breakout", "MinAtar/Breakout-v1", False),
        ("ALE/Breakout-v5", "Breakout", True),
    ],
)
def test_names_of_one_environment_are_told_from_those_of_others(theirs, own, same):
    assert same_environment(theirs, own) == same


def test_published_methods_are_curves_and_rows_and_change_nothing_of_ones_own(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", [*rows(), *rows(env="h1-sit_hard-v0")])
    results, _ = joined(ours, file)
    assert results.published == ("xqc (published)",)
    assert results.methods == ours.methods
    for before, after in zip(ours.comparisons, results.comparisons, strict=True):
        assert after.methods[:-1] == before.methods
        assert after.own == before.methods
        assert after.contrasts == before.contrasts, "no difference to what shares no trunk"
        method = after.methods[-1]
        assert method.published == file
        assert method.n == 2
        assert [run.final for run in method.runs] == [100.0, 110.0], "at 10,000, where runs here end"
        assert method.curve is not None
        assert method.curve.steps.tolist() == [0, 5_000, 10_000]
        assert method.final is not None
        assert method.final.mean.low <= method.final.mean.value == 105.0 <= method.final.mean.high
        assert method.threshold is None, "steps of branches count from the branch on"


def test_after_a_branch_the_area_is_over_the_same_steps_as_ones_own(ours, tmp_path):
    results, _ = joined(ours, write(tmp_path / "xqc.csv", rows()))
    assert [run.area for run in in_walk(results).methods[-1].runs] == [75.0, 85.0]


def test_all_environments_together_are_the_mean_of_normalised_scores(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", [*rows(), *rows(env="h1_sit_hard_v0")])
    results, _ = joined(ours, file)
    method = results.across[0].methods[-1]
    wanted = [envs.normalised_score(env, value) for env in ("h1-walk", "h1-sit_hard") for value in (100.0, 110.0)]
    assert method.final is not None
    assert method.final.mean.value == pytest.approx(np.mean([value for value in wanted if value is not None]))
    assert results.across[0].contrasts == ours.across[0].contrasts
    alone, said = joined(ours, write(tmp_path / "walk.csv", rows()))
    assert alone.across[0].methods == ours.across[0].methods
    assert "xqc (published) has final returns in 1 of 2 environments; it is not averaged over environments." in said


def test_every_known_difference_of_protocol_is_said(ours, tmp_path):
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


def test_what_looks_normalised_is_said(ours, tmp_path):
    small = [(*row[:5], 0.5) for row in rows()]
    _, said = joined(ours, write(tmp_path / "xqc.csv", small))
    assert "look like normalised scores, but are read as returns" in " ".join(said)


def test_values_that_are_no_numbers_seeds_that_stop_and_steps_that_stand_twice_are_left_out_and_said(ours, tmp_path):
    found = [
        *rows(),
        ("xqc", "h1-walk-v0", 0, "avg_return", 5000, "nan"),
        ("xqc", "h1-walk-v0", 0, "avg_return", 7000, ""),
    ]
    found += [("xqc", "h1-walk-v0", 1, "avg_return", 10_000, 999.0), ("xqc", "h1-walk-v0", 7, "avg_return", 5_000, 1.0)]
    results, said = joined(ours, write(tmp_path / "xqc.csv", found))
    method, words = in_walk(results).methods[-1], " ".join(said)
    assert [run.run.seed for run in method.runs] == [0, 1]
    assert [run.final for run in method.runs] == [100.0, 999.0]
    assert "2 of its evaluations with seed 0 are not numbers and are left out" in words
    assert "2 of its evaluations appear twice in the file; the later row is used" in words
    assert "seed 7 left out: no evaluation near the last step of the others, 10,000" in words


def test_a_method_whose_evaluations_begin_after_the_end_is_left_out_and_said(ours, tmp_path):
    results, said = joined(ours, write(tmp_path / "xqc.csv", rows(steps=range(0, 200_001, 100_000))))
    assert in_walk(results).methods == in_walk(ours).methods
    assert "left out, as its first evaluation after step 0 is at step 100,000" in " ".join(said)


def test_methods_of_one_name_are_told_by_their_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    files = [write(tmp_path / name, rows()) for name in ("one.csv", "two.csv", "a/three.csv", "b/three.csv")]
    first, second, third, fourth = (each.name for each in read_published(files))
    assert (first, second) == ("xqc (one.csv)", "xqc (two.csv)")
    assert third == f"xqc ({files[2]})"
    assert fourth == f"xqc ({files[3]})"
    assert len(read_published([files[0], files[0]])) == 1


HEAD = f"{','.join(COLUMNS)}\n".encode()
MISTAKES = {
    "no such layout": (b"step,return\n1,2\n", "has no columns exp_name, env_name, seed, metric, env_step, value"),
    "a column missing": (b"exp_name,env_name,seed,metric,value\n", "has no column env_step"),
    "a column with another name": (
        b"exp_name,env_name,seed,metric,env_steps,value\n",
        "nearest to env_step is env_steps",
    ),
    "a column twice": (b"exp_name,env_name,seed,metric,env_step,value,value\n", "has the column value twice"),
    "nothing at all": (b"", "the first line has none"),
    "no rows": (HEAD, "has no rows"),
    "another metric": (HEAD + b"a,b,0,avg_success,0,1\n", "it has avg_success"),
    "a row too short": (HEAD + b"a,b,0,avg_return\n", "line 2 has 4 values"),
    "words for a number": (HEAD + b"a,b,0,avg_return,0,high\n", "value 'high'"),
    "half a step": (HEAD + b"a,b,0,avg_return,0.5,1\n", "env_step '0.5'"),
    "an endless step": (HEAD + b"a,b,0,avg_return,inf,1\n", "env_step 'inf'"),
    "no seed": (HEAD + b"a,b,,avg_return,0,1\n", "seed ''"),
    "no name": (HEAD + b",b,0,avg_return,0,1\n", "exp_name ''"),
    "a name that controls": (
        HEAD + b"\x1b[2J,b,0,avg_return,0,1\n",
        "exp_name '",
    ),
    "an open quote": (HEAD + b'"a,b,0,avg_return,0,1\n', "is not valid CSV"),
    "zero bytes": (b"exp_name,env_name\0", "zero bytes"),
    "no text": (b"\xff\xfe\x00\x01", "not text in UTF-8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, mistake):
    content, said = MISTAKES[mistake]
    path = tmp_path / "theirs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"theirs\.csv") as refused:
        read_published([path])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_folders_missing_files_and_large_ones_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="is not a regular file"):
        read_published([tmp_path])
    with pytest.raises(ValueError, match="No such file"):
        read_published([tmp_path / "none.csv"])
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="more than the"):
        read_published([tmp_path / "large.csv"])
    many = [(f"m{n}", "h1-walk-v0", 0, "avg_return", 0, 1.0) for n in range(30)]
    with pytest.raises(ValueError, match="more than 24 values of exp_name"):
        read_published([write(tmp_path / "many.csv", many)])


def test_a_file_without_any_of_the_environments_is_refused_before_anything_runs(ours, tmp_path):
    file = write(tmp_path / "xqc.csv", rows(env="h1-run-v0"))
    with pytest.raises(
        ValueError, match="has no results in h1-sit_hard or h1-walk; nearest of its 1 environments is h1-run-v0"
    ):
        joined(ours, file)
    arguments = ["--env", "h1-walk", "--seeds", "0", "--dir", str(tmp_path / "runs"), "--against", str(file)]
    with pytest.raises(ValueError, match="has no results in h1-walk"):
        compare.body(arguments)
    assert not (tmp_path / "runs").exists()


def test_without_a_branch_the_threshold_is_looked_for_in_published_runs_too(tmp_path):
    write_run(tmp_path / "runs" / "a", env="h1-walk", agent="sac", steps=10_000)
    results = analyse(find_runs([tmp_path / "runs"]).runs, OPTIONS)
    reached = in_walk(joined(results, write(tmp_path / "xqc.csv", rows()))[0]).methods[-1].threshold
    assert reached is not None
    assert reached.share.value == 1.0


def test_the_report_shows_them_with_their_file_and_what_to_keep_in_mind(tmp_path, capsys):
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


def test_without_files_a_report_is_as_it_was(ours):
    assert join(ours, ()) == (ours, ())
    assert report.__kwdefaults__ is not None
    assert report.__kwdefaults__["published"] == ()


@pytest.mark.parametrize("label", ["xqc (published)", "XQC (Published)", "Mine (published)"])
def test_a_label_that_looks_like_a_published_method_is_refused(label, tmp_path):
    write_run(tmp_path / "a", env="h1-walk", agent="sac", method="fire", steps=10_000)
    found = find_runs([tmp_path])
    with pytest.raises(ValueError, match="are only for results from --against") as refused:
        analyse_all(found.runs, OPTIONS, found.trunks, (f"fire={label}",))
    assert "\n" not in str(refused.value)


def test_two_methods_of_one_name_are_refused(tmp_path):
    write_run(tmp_path / "runs" / "a", env="h1-walk", agent="sac", method="fire", steps=10_000)
    files = [write(tmp_path / name, rows()) for name in ("one.csv", "two.csv")]
    found = find_runs([tmp_path / "runs"])
    results = analyse_all(found.runs, OPTIONS, found.trunks, ("fire=xqc (one.csv)",))
    with pytest.raises(ValueError, match=r"one\.csv has xqc, which the report would call 'xqc \(one\.csv\)'"):
        joined(results, *files)
    words = ["--env", "h1-walk", "--seeds", "0", "--dir", str(tmp_path / "new"), "--label", "fire=xqc (one.csv)"]
    with pytest.raises(ValueError, match="give the method that was run another --label"):
        compare.body([*words, "--against", *map(str, files)])
    assert not (tmp_path / "new").exists()


def test_of_names_that_may_all_be_meant_the_same_one_is_taken_and_said(ours, tmp_path):
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


def test_unknown_protocols_are_said_once_for_all_methods(ours, tmp_path):
    found = [*rows("one"), *rows("two"), *rows("one", "h1-sit_hard-v0"), *rows("xqc")]
    results, said = joined(ours, write(tmp_path / "many.csv", found))
    (unknown,) = [sentence for sentence in said if "neither the file nor the method's name tells" in sentence]
    assert unknown.startswith("one (published), two (published): ")
    assert unknown in results.notes
