"""Comparisons by a loss, where lower is better, and by an accuracy: numbers worked out by hand, and the wording."""

import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options, Results
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.curve_figures import draw_curves
from fire_rl.experiments.report.drawing import looks, style
from fire_rl.experiments.report.findings import finding
from fire_rl.experiments.report.markdown import escaped, markdown
from fire_rl.experiments.report.page import page, write_report
from fire_rl.training.metric import RETURN, Metric
from tests.fixtures.analysed import FAST, only
from tests.fixtures.comparison import write_comparison, write_run

LOSS = Metric("loss", unit="nats", better="lower", decimals=4)
ACCURACY = Metric("accuracy", form="percent")


def judged_by(metric: Metric, folder: Path, options: Options = FAST) -> Results:
    """Analyse the runs as if they had learned digits, with values of this metric."""
    found = find_runs([folder])
    runs = [replace(run, metric=metric, unit="updates", env="digits", replay_ratio=None) for run in found.runs]
    return analyse(runs, options, found.trunks)


def texts_of(results: Results) -> tuple[str, str]:
    """Return the page with the texts of its figures, and the Markdown text."""
    report = report_of(results)
    html = page(report)
    drawn = [b64decode(each).decode() for each in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", html)]
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", html) + "".join(drawn), markdown(report)


@pytest.fixture(scope="module")
def losses(tmp_path_factory) -> Path:
    """Five branches each: none ends between 0.75 and 1.25, fire 0.5 lower. Its event raises 1.125 by half."""
    folder = tmp_path_factory.mktemp("losses")
    for seed in range(5):
        trunk = write_run(folder / f"trunk{seed}", seed=seed, steps=2_000)
        start, end = {0: 2.0, 1_000: 1.5, 2_000: 1.125}, 0.75 + seed / 8
        write_run(
            folder / f"none{seed}", seed=seed, steps=4_000, branch_from=f"{trunk}@2000",
            returns=start | {3_000: 1.0625, 4_000: end},
        )  # fmt: skip
        write_run(
            folder / f"fire{seed}", method="fire", seed=seed, steps=4_000, branch_from=f"{trunk}@2000",
            returns=start | {3_000: 0.75, 4_000: end - 0.5}, event_steps=(2_000,), dip=-0.5,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def compared(losses) -> Results:
    return judged_by(LOSS, losses)


def test_the_threshold_is_the_best_mean_and_a_run_reaches_it_when_its_loss_is_as_low(compared):
    comparison = only(compared)
    assert comparison.threshold.value == 1.0
    assert comparison.threshold.meaning == (
        "the best other method's mean final loss (none: 1 nats); not a share of it, as lower is better"
    )
    none, fire = comparison.methods
    assert [run.steps_to_threshold for run in fire.runs] == [3_000] * 5  # 0.9375 there
    assert [run.steps_to_threshold for run in none.runs] == [4_000, 4_000, 4_000, np.inf, np.inf]
    assert [run.already for run in none.runs] == [False] * 5
    given = only(judged_by(LOSS, Path(none.runs[0].run.folder).parent, Options(threshold=1.5, resamples=50)))
    assert [run.already for run in given.method("none").runs] == [True] * 5


def test_lower_losses_are_ahead(compared):
    comparison = only(compared)
    (contrast,) = comparison.contrasts
    assert (contrast.method, contrast.against, contrast.paired) == ("fire", "none", True)
    assert contrast.final.mean.value == pytest.approx(-0.5)
    assert contrast.final.improvement.value == pytest.approx(24.5 / 25)  # 0.75 and 0.75 are equal
    assert (contrast.final.trunks.better, contrast.final.trunks.tied) == (5, 0)
    _, text = texts_of(compared)
    assert "fire minus none, final loss (nats): −0.5" in text
    assert "the interval excludes 0, but the exact sign-flip test of the mean gives p = 0.0625" in text
    settled = replace(contrast.final, together=replace(contrast.final.together, corrected=0.01))
    assert "in favour of fire over none" in finding(replace(contrast, final=settled), LOSS, 1)
    assert "all 5 pairs have fire ahead" in text


def test_a_loss_that_an_event_raises_has_a_gap_until_it_is_as_low_again(compared):
    fire = only(compared).method("fire")
    gaps = [run.gaps[0] for run in fire.runs]
    assert [(gap.depth, gap.share, gap.duration) for gap in gaps] == [(0.5625, 0.5, 1_000)] * 5
    assert (fire.gap.depth.value, fire.gap.regained.value) == (0.5625, 1.0)


def test_profiles_are_of_runs_below_a_loss(compared):
    none, fire = only(compared).methods
    at = int(np.argmin(np.abs(none.profile.taus - 0.8)))
    assert (none.profile.share.value[at], fire.profile.share.value[at]) == (0.2, 1.0)
    assert (none.profile.share.value[0], none.profile.share.value[-1]) == (0.0, 1.0)


def test_a_run_that_diverged_counts_with_the_highest_loss(losses, tmp_path):
    write_run(tmp_path / "a", returns={0: 2.5, 5_000: 1.0, 10_000: 0.5})
    write_run(tmp_path / "b", seed=1, returns={0: 2.0, 5_000: 1.0, 10_000: 0.5}, diverged=6_000)
    results = judged_by(LOSS, tmp_path)
    assert [run.final for run in only(results).methods[0].runs] == [0.5, 2.5]
    (note,) = (note for note in only(results).notes if "diverged" in note)
    assert "counts with a loss of 2.5 nats (the highest one in any evaluation of these runs)" in note
    html, text = texts_of(results)
    assert "they count with the worst loss of all these runs" in html
    assert "policy" not in html + text


def test_page_and_text_speak_of_losses_and_updates(compared):
    html, text = texts_of(compared)
    for said in ("Final loss (nats)", "lower final", "smaller area", "loss gained", "share of loss",
                 "Updates to a threshold", "How far the loss rises above its value", "not higher than the one before",
                 "in the last 10% of the updates",
                 "4,000 updates each", "final score is below each value", "Threshold: 1.0000 nats, "):  # fmt: skip
        assert said in text, said
        assert said in html, said
    for said in ("lower score than", "How far the loss rises after", "left of the line is better", ">loss (nats)<",
                 ">updates<", "share of runs below it", "loss (nats) gained"):  # fmt: skip
        assert said in html, said
    for words in (html.replace("Content-Security-Policy", ""), text):
        assert not re.search(r"\breturns?\b|environment steps|policy|episode|\bearned\b", words, re.IGNORECASE)


def test_reports_of_returns_have_their_usual_words(losses):
    found = find_runs([losses])
    html, text = texts_of(analyse(found.runs, FAST, found.trunks))
    for said in ("Final return", "higher final", "larger area", "return lost", "share of return",
                 "Steps to a threshold", "How far the return falls below its value", "not lower than the one before",
                 "in the last 10% of the steps and after the branch",
                 "4,000 steps each", "whose final score is above each value", "fire minus none, final return: −0.5",
                 "all 5 pairs have none ahead",
                 "90% of the best other method's mean final return (none: 1)"):  # fmt: skip
        assert said in text.replace("&#39;", "'"), said
        assert said in html.replace("&#39;", "'"), said
    for said in ("higher score than", "How far the return falls after", "right of the line is better", ">return<",
                 ">environment steps<", "share of runs above it", "how much was earned"):  # fmt: skip
        assert said in html, said
    assert not re.search(r"\bloss\b|\bupdates each", text)
    assert only(analyse(found.runs, FAST, found.trunks)).metric == RETURN


def test_an_accuracy_is_printed_and_drawn_in_per_cent(tmp_path):
    for seed in range(3):
        for method, end in (("none", 0.75), ("fire", 0.875)):
            write_run(
                tmp_path / f"{method}{seed}",
                method=method,
                seed=seed,
                returns={0: 0.1, 5_000: 0.5, 10_000: end + seed / 100},
            )
    results = judged_by(ACCURACY, tmp_path)
    comparison = only(results)
    assert comparison.threshold.value == pytest.approx(0.9 * 0.76)
    html, text = texts_of(results)
    for said in ("Threshold: 68.4%, 90% of the best other method's mean final accuracy (none: 76%)",
                 "Final accuracy (%)",
                 "| fire | 3 | 88.5 [", "fire minus none, final accuracy (%): +12.5", "| 75.0% |"):  # fmt: skip
        assert said in text, said
    assert ">accuracy (%)<" in html
    with style():
        figure = draw_curves(comparison, looks(results.methods), (300, 200), "mean", False)
        figure.canvas.draw()
        (axes,) = figure.axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert "80" in shown
    assert "0.8" not in shown
    assert not re.search(r"\breturns?\b|environment steps", html + text, re.IGNORECASE)


def test_runs_of_different_metrics_are_compared_apart_and_averaged_nowhere(tmp_path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(2))
    found = find_runs([tmp_path])
    runs = [replace(run, metric=metric, env="h1-walk") for metric in (RETURN, LOSS) for run in found.runs]
    results = analyse(runs, FAST)
    assert [(each.metric, each.where) for each in results.comparisons] == [
        (RETURN, "h1-walk, return"), (LOSS, "h1-walk, loss"),
    ]  # fmt: skip
    assert results.across == ()
    assert any("have different metrics (return in h1-walk; loss (nats) in h1-walk)" in note for note in results.notes)
    assert "## dqn · h1-walk, loss" in markdown(report_of(results))
    elsewhere = [replace(run, metric=LOSS, env=env) for env in ("digits", "letters") for run in found.runs]
    results = analyse(elsewhere, FAST)
    assert results.across == ()
    assert any("For digits, letters there are no published references" in note for note in results.notes)


def test_intervals_are_readable_in_markdown_and_no_name_becomes_a_link(tmp_path):
    assert escaped("+1.2 [−0.3, never], a_b") == r"+1.2 [−0.3, never], a\_b"
    assert escaped("[1, 2](http://elsewhere)") == r"\[1, 2\](http://elsewhere)"
    assert escaped("[1]: elsewhere") == r"\[1\]: elsewhere"
    write_run(tmp_path / "odd", method="x", settings={"reinit": "none", "regularize": ("a|_b*",)})
    found = find_runs([tmp_path])
    write_report(analyse(found.runs, FAST), tmp_path)
    assert r"| none+a\|\_b\* |" in (tmp_path / "summary.md").read_text()
