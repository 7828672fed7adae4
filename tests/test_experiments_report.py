"""The report's files, and the promises of its words and figures."""

import csv
import itertools
import math
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fire_rl.envs.reference_scores import References
from fire_rl.experiments.analysis.analyse import shared_history
from fire_rl.experiments.analysis.results import Contrast, Options, ScoreContrast, Together, TrunkCounts
from fire_rl.experiments.analysis.statistics import Interval
from fire_rl.experiments.report import sections
from fire_rl.experiments.report.contents import branch_in_words, report_of
from fire_rl.experiments.report.contrast_section import contrast_section
from fire_rl.experiments.report.curve_figures import draw_curves, levels_of
from fire_rl.experiments.report.drawing import (
    LOOKS,
    canvas,
    legend_lines,
    looks,
    page_image,
    png,
    shortened_apart,
    style,
    svg,
)
from fire_rl.experiments.report.findings import finding, findings
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.page import write_report
from fire_rl.experiments.report.paper_figure import ALONE, draw_paper_figure, sheet_of
from fire_rl.experiments.report.recovery import gap_section, threshold_section
from fire_rl.experiments.report.run_sections import run_sections
from fire_rl.experiments.report.score_figures import draw_rows
from fire_rl.experiments.report.wording import amount, interval, number, ranges, runs_of, steps
from fire_rl.training.metric import RETURN
from tests.fixtures.analysed import results_of
from tests.fixtures.comparison import write_comparison, write_run

OPTIONS = Options(resamples=50)


def contrast(low: float, high: float, n: int = 5, ahead: int | None = None, p: float = 0.04) -> Contrast:
    difference = made_up((low + high) / 2, low, high, n)
    chance = made_up(0.5, 0.2, 0.8, n)
    together = Together(p / 2, p, difference, "exact sign-flip test")
    score = ScoreContrast(
        difference, difference, chance, together, None if ahead is None else TrunkCounts(ahead, 0, chance)
    )
    return Contrast("fire", "none", score, score, paired=True)


def made_up(value: float, low: float, high: float, *runs: int) -> Interval:
    """Return an interval from so many runs in each environment."""
    return Interval(value, low, high, sides=(runs,), method="made up")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return results_of(write_comparison(folder, methods=("none", "reset", "fire"), seeds=range(2), steps=4_000))


def test_report_says_what_was_compared_how_and_with_what_doubt(results, tmp_path):
    page = write_report(results, tmp_path, "python compare.py --seeds 0-1").read_text()
    names = {
        "report.html", "curves.pdf", "curves.png", "curves.svg", "scores.csv", "curves.csv", "table.tex", "summary.md",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == names
    for said in ("python compare.py", "--seeds 0-1", "6 finished of 6, and 2 trunks", "2 pairs", "Fewer than 10 runs",
                 "95% percentile bootstrap, exact, all resamples of 2 trunks",
                 "at step 2,000", "0123456789ab", "2108.13264"):  # fmt: skip
        assert said in page, said
    order = ('<h2 id="found">', ">Learning curves</h3>", "Please note",
             ">Differences</h3>", "How to read this</h2>", "What was run and with what</h2>", "<dt>Versions",
             "python compare.py")  # fmt: skip
    places = [page.index(said) for said in order]
    assert places == sorted(places)
    assert page.count(">Learning curves</h3>") == 1
    assert len(list(csv.DictReader((tmp_path / "scores.csv").open()))) == 6


def test_the_command_of_a_summary_can_be_pasted_and_a_dollar_begins_no_formula(results):
    command = "python compare.py --reinit 'redo:tau=0.1' fire@every=2000 --label 'a*b=$x$' --dir `pwd`/a_b"
    text = markdown(replace(report_of(results, command), notes=("It costs $5 or $6.",)))
    assert text.endswith(f"This command makes the report again:\n\n```sh\n{command}\n```\n")
    assert r"It costs \$5 or \$6." in text
    fences = markdown(report_of(results, "echo '```'"))
    assert fences.endswith("````sh\necho '```'\n````\n")


def test_figures_of_the_same_results_are_the_same_files(results):
    def drawn():
        with style():
            figure = draw_paper_figure(results.comparisons, looks(results.methods))
            return svg(figure, text_as_paths=True), png(figure)

    assert drawn() == drawn()


def test_report_of_runs_that_have_only_begun(tmp_path):
    for method, reached in (("none", 0), ("fire", 2_000)):
        write_run(tmp_path / method, method=method, steps=4_000, reached=reached)
    page = write_report(results_of(tmp_path), tmp_path).read_text()
    assert "0 finished of 2" in page
    assert "not begun" in page
    assert "at 50%" in page


def test_a_method_has_the_same_colour_whatever_it_is_compared_with():
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
        image = page_image(figure, name, [LOOKS["fire"]])
    shown = '&lt;script&gt;$x_1$ &amp; "#dd5f00" 0.123456'
    assert shown in drawing
    themed = b64decode(image.uri.partition(",")[2]).decode()
    assert shown in themed
    assert LOOKS["fire"].dark in themed
    assert re.search(r"stroke: var\(--c\d+\)", themed)


def test_trunks_are_drawn_once_only_where_all_methods_have_them(results):
    comparison = results.comparisons[0]
    assert comparison.trunk == "none"
    first, other, *_ = comparison.methods
    elsewhere = [replace(run.run, branch=replace(run.run.branch, trunk=Path("/other"))) for run in other.runs]
    runs = tuple(replace(scores, run=run) for scores, run in zip(other.runs, elsewhere, strict=True))
    assert shared_history((first, replace(other, runs=runs))) is None


def test_curves_show_the_value_before_an_event(results):
    with style():
        (axes,) = draw_curves(results.comparisons[0], looks(results.methods), (300, 200), "mean", False).axes
    upright = [(x, top, bottom) for lines in axes.collections if hasattr(lines, "get_segments")
               for (x, top), (_, bottom) in lines.get_segments()]  # fmt: skip
    assert upright == [(2_000, pytest.approx(5.5), pytest.approx(1.1))] * 2  # reset, fire


def test_a_long_line_of_a_single_run_keeps_its_dips(tmp_path):
    returns = dict.fromkeys(range(0, 100_001, 100), 10.0)
    write_run(
        tmp_path / "run", method="fire", steps=100_000, eval_every=100, returns=returns, event_steps=(50_100,), dip=1.0
    )
    comparison = results_of(tmp_path).comparisons[0]
    with style():
        figure: Any = draw_curves(comparison, looks(["fire"]), (300, 200), "iqm", runs=True)
    (thin,) = [line for line in figure.axes[0].lines if line.get_linewidth() == 0.7]
    points = list(zip(thin.get_xdata(), thin.get_ydata(), strict=True))
    place = points.index((50_100, 10.0))
    assert points[place + 1] == (50_100, 0.0)
    assert len(points) <= 162


def test_the_return_of_a_human_is_not_called_success(results):
    comparison = replace(results.comparisons[0], references=References(0.0, 3.0))
    assert "success" in levels_of(comparison)
    assert "human" in levels_of(replace(comparison, env="Breakout"))


def test_the_page_says_that_trunks_are_shared_only_where_they_are(results):
    comparison = results.comparisons[0]
    assert branch_in_words(comparison) == "every method from the same trunks, at step 2,000"
    first, other, *_ = comparison.methods
    fewer = replace(comparison, methods=(first, replace(other, runs=other.runs[:1])))
    assert "not from all of them" in branch_in_words(fewer)
    branches = [replace(run.run.branch, trunk=Path(f"/other/{run.run.seed}")) for run in other.runs]
    runs = [replace(run, run=replace(run.run, branch=b)) for run, b in zip(other.runs, branches, strict=True)]
    elsewhere = replace(comparison, methods=(first, replace(other, runs=tuple(runs))))
    assert "do not share" in branch_in_words(elsewhere)


def test_differences_count_the_trunks_that_agree_and_show_each(results):
    with style():
        section: Any = contrast_section(results.comparisons[0], looks(results.methods))
    assert "small dot is the difference between the two branches of one trunk" in section.text
    assert "no difference is called settled" in section.text
    sizes, chances, together = section.tables
    assert together.rows[1].cells[3:5] == ("0.5", "1")  # of two pairs 2/4, and three such differences
    assert [row.cells[:2] for row in sizes.rows][1] == ("fire − none", "2 pairs")
    assert chances.rows[1].cells[3] == "2 of 2, 100% [34, 100]"
    text = markdown(report_of(results))
    assert f"| {' | '.join(chances.rows[1].cells)} |" in text
    assert f"| {' | '.join(sizes.rows[1].cells)} |" in text


def test_pairs_with_long_names_that_begin_alike_have_their_own_names_and_dots(results, monkeypatch):
    figures: list[Any] = []

    def drawn_and_kept(*given: Any) -> Any:
        figures.append(draw_rows(*given))
        return figures[-1]

    monkeypatch.setattr(sections, "draw_rows", drawn_and_kept)
    pair = results.comparisons[0].contrasts[0]
    contrasts = tuple(
        replace(pair, method=f"shrink-perturb:keep=0.5@every={every}", against="none", trunk_differences=dots)
        for every, dots in ((1_000, (1.0, 2.0)), (2_000, (3.0, 4.0)))
    )
    colors = looks([each.method for each in contrasts])
    with style():
        contrast_section(replace(results.comparisons[0], contrasts=contrasts), colors)
    (axes,) = figures[0].axes
    drawn = [list(line.get_xdata()) for line in axes.lines]
    assert [1.0, 2.0] in drawn
    assert [3.0, 4.0] in drawn
    labels = [text.get_text() for text in axes.texts[::2]]
    assert len(set(labels)) == 2
    assert "every=1000 − none" in labels[0]
    assert len({line.get_label() for line in legend_lines(colors)}) == 2


def test_shortened_names_stay_different():
    ends, middles = [f"redo:tau=0.1@every={every}" for every in (10, 20)], ["redo:tau=0.1,x", "redo:tau=0.2,x"]
    assert shortened_apart([*ends, "fire", ends[0]], [12] * 4) == [
        "redo:…ery=10",
        "redo:…ery=20",
        "fire",
        "redo:…ery=10",
    ]
    assert shortened_apart(middles, [5, 5]) == ["1: r…", "2: r…"]
    assert shortened_apart(["none", "a name too long"], [8, 8]) == ["none", "a name …"]


def test_gaps_are_shown_beside_those_of_noise_alone_and_each_event_has_its_own(results):
    comparison, colors = results.comparisons[0], looks(results.methods)
    with style():
        section: Any = gap_section(comparison, colors)
        events = next(each for each in run_sections(comparison, colors) if each.title == "Events")
    (table,) = section.tables
    assert [row.cells[:2] for row in table.rows] == [
        ("reset", "2 of 2"), ("fire", "2 of 2"), ("none, nothing done", "none"),
    ]  # fmt: skip
    single = events.tables[1]
    assert dict(zip(single.columns, single.rows[0].cells, strict=True))["return lost"] == "4.00"


def test_a_threshold_says_from_which_step_on_it_is_looked_for(results):
    with style():
        section: Any = threshold_section(results.comparisons[0], looks(results.methods))
    assert "only evaluations after the branch are used" in section.text
    assert any("stays the same" in note for note in section.notes)


def test_findings_claim_no_more_than_their_interval():
    assert "does not settle which method is better" in finding(contrast(-0.3, 2.5), RETURN, 1)
    assert "+1.1 [−0.3, +2.5], 5 pairs" in finding(contrast(-0.3, 2.5), RETURN, 1)
    assert ", in favour of fire over none: " in finding(contrast(0.3, 2.5), RETURN, 1)
    assert "in favour of none over fire" in finding(contrast(-2.5, -0.3), RETURN, 1)
    assert "in favour" not in finding(contrast(-0.3, 2.5, p=0.01), RETURN, 1)
    by_chance = finding(contrast(0.3, 2.5, p=0.4375), RETURN, 1, many=7)
    assert "Not settled: the single interval excludes 0, but the exact sign-flip test" in by_chance
    assert "p = 0.438 after the correction for 7 differences (p = 0.219 without the correction)" in by_chance
    assert "all 5 pairs have none ahead" in finding(contrast(-2.5, -0.3, ahead=0), RETURN, 1)
    assert "no interval" in finding(contrast(math.nan, math.nan, n=1), RETURN, 1)


def test_where_iqm_and_mean_disagree_nothing_is_called_better(results):
    found = contrast(0.3, 2.5)
    against = replace(found, final=replace(found.final, mean=made_up(-3.0, -5.0, -1.0, 5)))
    said = finding(against, RETURN, 1)
    assert "the IQM and the mean disagree (the difference of the means is −3.0), so neither method is called" in said
    assert "in favour" not in said
    both = findings(replace(results.comparisons[0], contrasts=(against, replace(against, against="reset"))))
    assert sum("the IQM and the mean disagree" in sentence for sentence in both) == 2


@pytest.mark.parametrize("n", [2, 4])
def test_fewer_than_five_pairs_favour_no_method(n, results):
    few = contrast(0.3, 2.5, n, ahead=n)
    assert finding(few, RETURN, 1).endswith(f"too few to settle which method is better; all {n} pairs have fire ahead.")
    assert f"; 1 of {n} pairs has fire ahead." in finding(contrast(0.3, 2.5, n, ahead=1), RETURN, 1)
    lopsided = replace(few.final, iqm=replace(few.final.iqm, sides=((20,), (n,))))
    assert "in favour" not in finding(replace(few, final=lopsided, paired=False), RETURN, 1)
    contrasts = (replace(few, method="redo"), replace(few, method="reset"), few)
    said = findings(replace(results.comparisons[0], contrasts=contrasts))
    assert not any("in favour" in sentence for sentence in said)
    start = "Too few runs or pairs to settle which method is better, final return: "
    assert said[1].startswith(f"{start}redo minus none, +1.4 [+0.3, +2.5], ")
    assert f"{n} pairs, {n} of them ahead; reset minus none" in said[1]


def test_every_difference_is_among_the_findings_and_the_reference_comes_first(results):
    comparison = results.comparisons[0]
    reset, fire, between = (
        replace(contrast(low, 2.0), method=method, against=against)
        for low, method, against in ((-1.0, "reset", "none"), (1.0, "fire", "none"), (-1.5, "fire", "reset"))
    )
    said = findings(replace(comparison, contrasts=(reset, fire, between), family=None))
    assert said[0].startswith("fire minus none")
    assert len(said) == 3
    assert said[2] == "Differences are those of IQMs; intervals in square brackets: made up."
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
        (interval(made_up(6.1, 5.2, 7.3, 5)), "6.1 [5.2, 7.3]"),
        (interval(made_up(6.1, math.nan, math.nan, 1)), "6.10"),
        (interval(made_up(5.4, 5.4, 5.4 + 1e-15, 3)), "5.40 [5.40, 5.40]"),
        (runs_of(made_up(1.0, 0.0, 2.0, 3, 3)), "2 environments × 3 runs"),
        (amount(1_234_567.0), "1.23M"),
        (amount(41_900.0), "41.9k"),
        (amount(84.81), "84.8"),
        (steps(12_500), "12,500"),
        (steps(1_250_000), "1.25M"),
        (ranges([0, 1, 2, 4, 6, 7]), "0–2, 4, 6, 7"),
    ],
)
def test_numbers_are_printed_as_people_write_them(said, expected):
    assert said == expected


def test_methods_are_distinguished_without_colours():
    """Each pattern of dashes has its own marker, because patterns of one colour look alike in a short line."""
    many = list(looks([f"module:Method{index}" for index in range(30)]).values())
    for color in {look.color for look in many}:
        alike = [look for look in many if look.color == color]
        assert len({look.marker for look in alike}) == len(alike)


def test_titles_of_small_panels_and_the_line_below_are_inside_the_figure(tmp_path: Path):
    """As drawn, no title extends into the next panel, and nothing is wider than the figure."""
    methods = ["none", *(f"shrink-perturb:shrink=0.{n},perturb=0.{n}" for n in range(1, 7))]
    for seed, method in enumerate(methods):
        for run in range(2 + seed % 3):
            write_run(tmp_path / f"{method}-{run}", method=method, seed=run, steps=4_000)
    (comparison,) = results_of(tmp_path).comparisons
    for sheet in (ALONE, sheet_of("double")):
        with style(for_papers=sheet.for_papers):
            figure: Any = draw_paper_figure([comparison], looks(methods), sheet)
            drawn = FigureCanvasAgg(figure)
            drawn.draw()
            boxes = [axes._left_title.get_window_extent(drawn.get_renderer()) for axes in figure.axes[1:]]
            below = [figure._supxlabel.get_window_extent(drawn.get_renderer())] if figure._supxlabel else []
        assert len(boxes) == len(methods)
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert all(box.x1 <= figure.bbox.width for box in (*boxes, *below))


def test_a_method_without_any_score_is_not_in_the_legend(tmp_path: Path):
    for env in ("MinAtar/Breakout-v1", "MinAtar/Freeway-v1"):
        for method in ("none", "fire"):
            folder = tmp_path / env.replace("/", "_") / method
            write_run(folder, env=env, method=method, steps=4_000, reached=-1 if method == "fire" else None)
    comparisons = results_of(tmp_path).comparisons
    figure = draw_paper_figure(comparisons, looks(["none", "fire"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none"]
