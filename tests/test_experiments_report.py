"""The report's files, and what its words and figures promise."""

import csv
import math
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.analysis.analyse import analyse
from experiments.analysis.found import find_runs
from experiments.analysis.results import Contrast, Options, Results
from experiments.analysis.statistics import Interval
from experiments.report.curve_figures import panel_of, trunk_of
from experiments.report.figures import LOOKS, canvas, looks, picture, png, style, svg
from experiments.report.page import write_report
from experiments.report.paper_figure import draw_paper_figure
from experiments.report.wording import finding, findings, interval, number, ranges, steps
from tests.fixtures.comparison import write_comparison, write_run

OPTIONS = Options(resamples=50)


def results_of(folder: Path) -> Results:
    found = find_runs([folder])
    return analyse(found.runs, OPTIONS, found.trunks)


def contrast(low: float, high: float, n: int = 5) -> Contrast:
    difference = Interval((low + high) / 2, low, high, n, "made up")
    chance = Interval(0.5, 0.2, 0.8, n, "made up")
    return Contrast("fire", "none", difference, difference, difference, difference, chance, chance, paired=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return results_of(write_comparison(folder, methods=("none", "reset", "fire"), seeds=range(2), steps=4_000))


def test_report_says_what_was_compared_how_and_with_what_doubt(results, tmp_path):
    page = write_report(results, tmp_path, "python compare.py --seeds 0-1").read_text()
    names = {"report.html", "curves.png", "curves.svg", "scores.csv", "summary.md"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for said in ("python compare.py", "--seeds 0-1", "6 finished of 6, and 2 trunks", "2 pairs", "Fewer than 10 runs",
                 "95% percentile bootstrap, 50 resamples", "at step 2,000", "0123456789ab", "2108.13264"):  # fmt: skip
        assert said in page, said
    assert len(list(csv.DictReader((tmp_path / "scores.csv").open()))) == 6


def test_figures_of_the_same_results_are_the_same_files(results):
    def drawn():
        with style():
            figure = draw_paper_figure([panel_of(results.comparisons[0])], looks(results.methods))
            return svg(figure, text_as_paths=True), png(figure)

    assert drawn() == drawn()


def test_report_of_runs_that_have_only_begun(tmp_path):
    for method, reached in (("none", 0), ("fire", 2_000)):
        write_run(tmp_path / method, method=method, steps=4_000, reached=reached)
    page = write_report(results_of(tmp_path), tmp_path).read_text()
    assert "0 finished of 2" in page
    assert "not begun" in page
    assert "at 50%" in page


def test_a_method_has_its_look_whatever_it_is_compared_with():
    methods = ["none", "fire", "fire:solver=exact", "my.module:Mine", "fire+l2-init"]
    found = looks(methods)
    assert found["fire"] == LOOKS["fire"]
    assert len(set(found.values())) == len(methods)
    assert looks(reversed(methods)) == found
    many = looks([f"module:Method{index}" for index in range(25)])
    assert len(set(many.values())) == 25


def test_names_in_figures_are_text_and_colours_follow_the_theme():
    name = '<script>$x_1$ & "#dd5f00" 0.123456'
    with style():
        figure, (axes,) = canvas(200, 100)
        axes.plot([0, 1], [0, 1], color=LOOKS["fire"].color)
        axes.set_title(name)
        drawing = svg(figure)
        page = picture(figure, name, [LOOKS["fire"]])
    shown = '&lt;script&gt;$x_1$ &amp; "#dd5f00" 0.123456'
    assert shown in drawing
    themed = b64decode(page.uri.partition(",")[2]).decode()
    assert shown in themed
    assert LOOKS["fire"].dark in themed
    assert re.search(r"stroke: var\(--c\d+\)", themed)


def test_trunks_are_drawn_once_only_where_all_methods_have_them(results):
    comparison = results.comparisons[0]
    assert trunk_of(comparison) == "none"
    first, other, *_ = comparison.methods
    elsewhere = [replace(run.run, branch=replace(run.run.branch, trunk=Path("/other"))) for run in other.runs]
    runs = tuple(replace(scores, run=run) for scores, run in zip(other.runs, elsewhere, strict=True))
    assert trunk_of(replace(comparison, methods=(first, replace(other, runs=runs)))) is None


def test_findings_promise_no_more_than_their_interval():
    assert "does not settle" in finding(contrast(-0.3, 2.5), "final return", 1)
    assert "+1.1 [−0.3, +2.5], 5 pairs" in finding(contrast(-0.3, 2.5), "final return", 1)
    assert "in favour of fire over none, though" in finding(contrast(0.3, 2.5), "final return", 1)
    assert "in favour of none over fire" in finding(contrast(-2.5, -0.3), "final return", 1)
    assert "too narrow" not in finding(contrast(0.3, 2.5, n=20), "final return", 1)
    assert "no interval" in finding(contrast(math.nan, math.nan, n=1), "final return", 1)


def test_every_difference_is_among_the_findings_and_the_reference_comes_first(results):
    comparison = results.comparisons[0]
    reset, fire, between = (
        replace(contrast(low, 2.0), method=method, against=against)
        for low, method, against in ((-1.0, "reset", "none"), (1.0, "fire", "none"), (-1.5, "fire", "reset"))
    )
    said = findings(replace(comparison, contrasts=(reset, fire, between)))
    assert said[0].startswith("fire minus none")
    assert len(said) == 2
    assert said[1].startswith("Not settled")
    assert "reset minus none" in said[1]
    assert "fire minus reset" in said[1]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(-1234.5), "−1,234"),
        (number(0.01234), "0.0123"),
        (number(-0.0001, 2), "0.00"),
        (number(None), "–"),
        (number(math.inf), "never"),
        (interval(Interval(6.1, 5.2, 7.3, 5, "")), "6.1 [5.2, 7.3]"),
        (interval(Interval(6.1, math.nan, math.nan, 1, "")), "6.10"),
        (steps(12_500), "12,500"),
        (steps(1_250_000), "1.25M"),
        (ranges([0, 1, 2, 4, 6, 7]), "0–2, 4, 6, 7"),
    ],
)
def test_numbers_as_people_write_them(said, expected):
    assert said == expected
