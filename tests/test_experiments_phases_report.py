"""Comparisons of runs whose data comes in phases: intervals, matrices, figures and notes."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.labels import schedule_of
from fire_rl.experiments.analysis.phases import matrix_of
from fire_rl.experiments.analysis.records import Run, read_run
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.curve_figures import draw_measure
from fire_rl.experiments.report.drawing import TRUNK, looks
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.page import write_report
from fire_rl.experiments.report.phase_sections import draw_panels, panels_of
from fire_rl.experiments.report.wording import schedules_in_words
from tests.fixtures import phased_comparison
from tests.fixtures.analysed import FAST, noted, only, results_by_axis
from tests.fixtures.comparison import write_comparison, write_run
from tests.fixtures.phased_comparison import AT_ENDS, END, LOSS, STARTS, Evaluation, at_ends, write_phased

folder = phased_comparison.folder
results = phased_comparison.results


def test_scores_over_phases_have_intervals_as_others_have(results):
    none, fire = only(results).methods
    assert fire.over_phases is not None
    means = [0.4, 0.42, 0.44]
    assert none.over_phases.mean.value == pytest.approx(np.mean(means))
    assert [none.over_phases.mean.low, none.over_phases.mean.high] == pytest.approx([0.4, 0.44])
    assert none.over_phases.mean.n == 3
    assert fire.over_phases.iqm.value == pytest.approx(0.52)
    assert none.forgetting.iqm.value == pytest.approx(0.2)
    assert none.also.keys() == {"training_accuracy", "seen_accuracy"}  # the one that is null has no value
    assert none.also["training_accuracy"].mean.value == pytest.approx(0.91)


def test_the_matrix_is_the_mean_of_the_runs_with_the_lowest_and_the_highest(results):
    matrix = only(results).method("fire").phases
    assert matrix.steps.tolist() == [0, 2, 2, 5, 6, 6, 12, 12, 15, 20, 20, 30]
    assert [step for step, before in zip(matrix.steps, matrix.before, strict=True) if before] == [2, 6, 12, 20]
    assert matrix.mean[:, -1] == pytest.approx([0.42, 0.72, 0.62, 0.92, 0.52])
    assert matrix.low[0, 1] == pytest.approx(0.91)
    assert matrix.high[0, 1] == pytest.approx(0.93)
    assert matrix.n == 3


def test_a_value_that_one_run_lacks_is_left_out_of_the_mean(tmp_path):
    runs = [
        read_run(write_phased(tmp_path / "a", [(0, "scheduled", 0.1, [None, 0.5]), (5, "scheduled", 0.1, [0.5])])),
        read_run(write_phased(tmp_path / "b", [(0, "scheduled", 0.1, [None, 0.7]), (6, "scheduled", 0.1, [0.5])])),
    ]
    matrix: Any = matrix_of(runs)
    assert matrix.steps.tolist() == [0]
    assert np.isnan(matrix.mean[0, 0])
    assert matrix.mean[1, 0] == pytest.approx(0.6)
    assert matrix_of([read_run(write_run(tmp_path / "c"))]) is None


def test_the_baselines_end_is_the_threshold_that_was_asked_for(folder):
    comparison = only(results_by_axis(folder, options=replace(FAST, threshold="baseline")))
    assert comparison.threshold.value == pytest.approx(0.7)  # the mean of 0.6, 0.7 and 0.8
    assert comparison.threshold.meaning == "the IQM of the final accuracies of none"
    none, fire = comparison.methods
    assert [run.steps_to_threshold for run in none.runs] == [np.inf, 30, 30]
    assert [run.steps_to_threshold for run in fire.runs] == [30, 30, 30]
    text = markdown(report_of(results_by_axis(folder, options=replace(FAST, threshold="baseline"))))
    assert "| fire | 3 | 3 of 3 | 100% [44, 100] | 30 [30, 30] | 1.00 of phase 5 [1.00, 1.00] |" in text
    other = only(results_by_axis(folder, options=replace(FAST, threshold="baseline", baseline="fire")))
    assert other.threshold.value == pytest.approx(0.8)


def test_report_shows_phases_as_pictures_tables_and_numbers(results, tmp_path):
    write_report(results, tmp_path)
    text, html = (tmp_path / "summary.md").read_text(), (tmp_path / "report.html").read_text()
    for said in ("Phase by phase", "| fire | 3 | 42.0% | 72.0% | 62.0% | 92.0% | 52.0% |",
                 "| none | 3 | 90.0% | 80.0% | 90.0% | 80.0% | 50.0% |", "Mean over phases and forgetting",
                 "Mean accuracy over phases (%)", "| none | 3 | 20.0", "Accuracy on other examples",
                 "seen accuracy, on the test examples of the phases so far",
                 "the beginning of each phase of the data counts as an event",
                 "where each phase but the first begins, 4 times"):  # fmt: skip
        assert said in text, said
    assert "phases.csv" in html
    assert "within each data set; the interval" in html
    for name in ("phases.pdf", "phases.svg", "phases.png"):
        assert (tmp_path / name).stat().st_size > 1_000
    rows = list(csv.DictReader((tmp_path / "phases.csv").open()))
    assert len(rows) == 5 * (8 + 12)
    (row,) = (r for r in rows if (r["method"], r["phase"], r["step"], r["at_event"]) == ("fire", "1", "2.0", "before"))
    assert float(row["mean"]) == pytest.approx(0.92)
    scores = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert float(scores[0]["forgetting"]) == pytest.approx(0.2)
    assert float(scores[0]["mean_over_phases"]) == pytest.approx(0.4)
    assert float(scores[0]["training_accuracy"]) == pytest.approx(0.9)
    assert "validation_accuracy" not in scores[0]


def test_a_loss_is_brighter_where_it_is_lower_and_is_called_by_its_name(folder):
    found = find_runs([folder])
    own = {run: tuple(replace(each, also={}) for each in run.evaluations) for run in found.runs}
    results = analyse([replace(run, metric=LOSS, evaluations=evaluations) for run, evaluations in own.items()], FAST)
    (panel, *_) = panels_of(only(results))
    figure = draw_panels([panel], "single")
    assert figure.axes[0].collections[0].get_cmap().name == "viridis_r"
    assert figure.axes[1].get_ylabel() == "loss (nats)"
    text = markdown(report_of(results))
    assert "the lowest loss on its test examples" in text
    assert "Mean loss over phases (nats)" in text
    assert "ccurac" not in text


def test_growing_data_says_what_its_rows_are_and_nothing_of_forgetting(tmp_path):
    for seed in range(2):
        write_phased(tmp_path / f"r{seed}", at_ends(), seed=seed, task="continual")
    results = results_by_axis(tmp_path)
    assert only(results).methods[0].forgetting is None
    text = markdown(report_of(results))
    assert "on the training examples of each phase" in text
    assert "phases have no test examples of their own" in text
    assert "### Mean over phases\n" in text


def test_runs_that_diverge_count_in_every_phase(tmp_path):
    write_phased(tmp_path / "a", at_ends())
    folder = write_phased(tmp_path / "b", [each for each in at_ends() if each[0] <= 12], seed=1)
    _diverge(folder, 14)
    good, bad = only(results_by_axis(tmp_path)).methods[0].runs
    assert good.phases is not None
    assert bad.phases.ends == (0.2, 0.3, 0.4, 0.1, 0.1)  # 0.1 is the lowest value of any evaluation
    assert bad.phases.forgetting == pytest.approx((0.9 + 0.8 + 0.9 + 0.1 - 4 * 0.1) / 4)


def test_if_all_runs_diverge_each_still_counts_in_every_phase(tmp_path):
    for seed, diverged in enumerate((14, 18)):
        reached = [each for each in at_ends() if each[0] <= diverged]
        _diverge(write_phased(tmp_path / str(seed), reached, seed=seed), diverged)
    for run in only(results_by_axis(tmp_path)).methods[0].runs:
        assert run.phases is not None
        assert run.phases.ends == (0.2, 0.3, 0.4, 0.1, 0.1)
        assert run.phases.mean == pytest.approx(0.22)


@pytest.mark.parametrize("diverged", [14, 18])  # before and after the first evaluation of the phase from 12 to 20
def test_a_divergence_after_a_boundary_counts_in_the_dip_there_and_no_boundary_follows(tmp_path, diverged):
    write_phased(tmp_path / "a", at_ends())
    reached = [each for each in at_ends(accuracies=(0.2, 0.3, 0.6, 0.5, 0.6)) if each[0] <= diverged]
    _diverge(write_phased(tmp_path / "b", reached, seed=1), diverged)
    comparison = only(results_by_axis(tmp_path))
    (method,) = comparison.methods
    _, bad = method.runs
    assert [gap.step for gap in bad.gaps] == [2, 6, 12]
    assert bad.gaps[-1].depth == pytest.approx(0.6 - 0.1)  # 0.1 is the failing value
    assert (bad.gaps[-1].duration, bad.gaps[-1].observed) == (np.inf, 8)  # to the planned end of the phase
    assert (method.gap.events, method.gap.occurred) == (7, 7)
    assert not noted(comparison.notes, "end with the run's next event")


def test_a_method_of_which_a_run_diverged_still_has_its_values_before_events(tmp_path):
    fire: list[Evaluation] = [(0, "scheduled", 0.1, [0.1] * 5)]
    for step, row in zip(STARTS, AT_ENDS[:-1], strict=True):
        fire += [(step, "before event", 0.5, row), (step, "after event", 0.2, [0.2] * 5)]
    write_phased(tmp_path / "a", [*fire, (END, "scheduled", 0.6, AT_ENDS[-1])], method="fire", events=STARTS)
    folder = write_phased(tmp_path / "b", fire[:5], method="fire", events=STARTS, seed=1)
    _diverge(folder, 8)
    matrix = only(results_by_axis(tmp_path)).methods[0].phases
    assert (matrix.n, matrix.steps.tolist()) == (2, [0, 2, 2, 6, 6, 12, 12, 20, 20, 30])
    assert matrix.mean[2, 5] == pytest.approx((0.9 + 0.1) / 2)  # just before the event at 12


def test_phases_whose_beginnings_are_unknown_are_only_drawn(tmp_path):
    found = find_runs([write_phased(tmp_path / "a", at_ends())])
    results = analyse([replace(run, phase_starts=(), epoch_lengths=()) for run in found.runs], FAST)
    method = only(results).methods[0]
    assert method.phases is not None
    assert (method.over_phases, method.forgetting, method.gap) == (None, None, None)
    text = markdown(report_of(results))
    assert "examples at the end of the run, mean" in text
    assert "at the end of that phase" not in text


def test_the_grey_line_on_other_examples_ends_before_an_event_at_the_branch(tmp_path):
    seen = {"seen_accuracy": 0.7}
    for method in ("reset", "fire"):
        evaluations: list[Evaluation] = []
        for step, occasion, value, row in at_ends():
            at_branch = step == STARTS[2]
            evaluations.append((step, "before event" if at_branch else occasion, value, row))
            if at_branch:
                evaluations.append((step, "after event", 0.1, row))
        trunk, events = f"{tmp_path / 'trunk'}@{STARTS[2]}", (STARTS[2],)
        write_phased(tmp_path / method, evaluations, method=method, branch_from=trunk, events=events, others=seen)
    comparison = only(results_by_axis(tmp_path))
    assert comparison.trunk is not None
    curves = {method.method: method.also_curves[0] for method in comparison.methods}
    figure: Any = draw_measure(comparison, curves, looks(curves), "", False, comparison.metric)
    (grey,) = [line for line in figure.axes[0].lines if line.get_color() == TRUNK]
    assert grey.get_xdata().tolist() == [0, 2, 5, 6]
    measured: Any = draw_measure(comparison, curves, looks(curves), "", False)
    (grey,) = [line for line in measured.axes[0].lines if line.get_color() == TRUNK]
    assert grey.get_xdata().tolist() == [0, 2, 5, 6, 12]


def test_reports_of_runs_without_phases_do_not_mention_them(tmp_path):
    write_comparison(tmp_path / "runs", methods=("none", "fire"), seeds=range(2), steps=4_000)
    results = results_by_axis(tmp_path / "runs")
    write_report(results, tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert not [name for name in names if name.startswith("phases")]
    html = (tmp_path / "report" / "report.html").read_text()
    for said in ("Phase by phase", "phases.csv", "phase of the data", "Mean over phases", "other examples"):
        assert said not in html, said
    assert "within each environment; the interval" in html
    header = (tmp_path / "report" / "scores.csv").read_text().splitlines()[0]
    assert header.endswith("updates_per_second,folder")


def test_the_usual_schedule_is_not_in_a_methods_name_but_described_in_words(folder):
    runs: list[Run] = [run for run in find_runs([folder]).runs if run.method == "fire"]
    assert {schedule_of(run) for run in runs} == {""}
    assert (
        schedules_in_words(results_by_axis(folder).comparisons) == "fire where each phase but the first begins, 4 times"
    )
    warm = replace(runs[0], phase_starts=(6,), schedule=dict(runs[0].schedule) | {"reinit_at": (6,)})
    assert (
        schedules_in_words(analyse([warm], FAST).comparisons) == "fire once, at step 6, where the second phase begins"
    )


def _diverge(folder: Path, step: int) -> None:
    """Add the line with which a run that diverged ends."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "diverged", "updates": step, "quantity": "loss", "value": "nan"}) + "\n")
