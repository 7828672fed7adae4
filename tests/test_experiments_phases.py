"""Runs whose data comes in phases: each number of the report beside one worked out by hand."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.axis import analyse_all
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.labels import schedule_of
from fire_rl.experiments.analysis.phases import epoch_at, matrix_of, phases_of
from fire_rl.experiments.analysis.records import Run, read_run
from fire_rl.experiments.analysis.results import Comparison, Options, Results
from fire_rl.experiments.analysis.scoring import score
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.page import write_report
from fire_rl.experiments.report.phase_figures import draw_panels, panels_of
from fire_rl.experiments.report.schedules import schedules_in_words
from fire_rl.training.learners import config_to_json
from fire_rl.training.metric import Metric
from fire_rl.training.vision import VisionRun
from tests.fixtures.comparison import write_comparison, write_run

FAST = Options(resamples=200)
LOSS = Metric("loss", unit="nats", better="lower", decimals=4)
STARTS, END = (2, 6, 12, 20), 30  # of five phases of 2 to 10 batches
ENDS = (*STARTS, END)
AT_ENDS = (  # of each phase, the accuracy on the classes of each
    (0.9, 0.0, 0.0, 0.0, 0.0), (0.6, 0.8, 0.0, 0.0, 0.0), (0.7, 0.5, 0.9, 0.0, 0.0), (0.5, 0.6, 0.7, 0.8, 0.0),
    (0.4, 0.7, 0.6, 0.9, 0.5),
)  # fmt: skip

Evaluation = tuple[int, str, float, Sequence[float | None]]  # step, occasion, accuracy, by phase


def write_phased(
    folder: Path, evaluations: Sequence[Evaluation], *, method: str = "none", seed: int = 0,
    task: str = "class-incremental", branch_from: str | None = None, events: Sequence[int] = (),
    others: Mapping[str, Any] | None = None, **settings: Any,
) -> Path:  # fmt: skip
    """A folder as such a run leaves it, of five phases unless another task says otherwise."""
    folder.mkdir(parents=True)
    phases = {} if task == "warm-start" else {"phases": 5}
    config = VisionRun().altered(
        data="fashion", task=task, images=1_000, batch_size=100, epochs=1, network="small", reinit=method, seed=seed,
        reinit_at=tuple(events), eval_every=5, **phases, **settings,
    )  # fmt: skip
    described = config_to_json(config.altered(steps=config.run.total)) | {
        "branch_from": branch_from, "metric": asdict(config.metric), "progress": config.run.progress,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(described))
    lines: list[dict[str, Any]] = []
    for step, occasion, accuracy, by_phase in evaluations:
        if occasion == "after event":
            lines.append({"kind": "event", "updates": step, "method": method, "networks": []})
        line = {"kind": "evaluation", "updates": step, "accuracy": accuracy, "by_phase": by_phase}
        lines.append(line | {"occasion": occasion} | dict(others or {}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def at_ends(change: float = 0.0, accuracies: Sequence[float] = (0.2, 0.3, 0.4, 0.5, 0.6)) -> list[Evaluation]:
    """One evaluation at each phase's end, and two between that must not count."""
    rows = [[value + change if value else value for value in row] for row in AT_ENDS]
    found: list[Evaluation] = [(0, "scheduled", 0.1, [0.0] * 5)]
    found += [(step, "phase begins", value, row) for step, value, row in zip(ENDS, accuracies, rows, strict=True)]
    found[-1] = (END, "scheduled", accuracies[-1], rows[-1])
    found += [(5, "scheduled", 0.25, [0.99] * 5), (15, "scheduled", 0.45, [0.99] * 5)]
    return sorted(found, key=lambda each: each[0])


def only(results: Results) -> Comparison:
    (comparison,) = results.comparisons
    return comparison


def analysed(folder: Path, options: Options = FAST) -> Results:
    found = find_runs([folder])
    return analyse_all(found.runs, options, found.trunks)


# One run


def test_settings_say_where_phases_begin_and_how_long_their_epochs_are(tmp_path):
    run = read_run(write_phased(tmp_path / "a", at_ends()))
    assert run.phase_starts == STARTS
    assert run.epoch_lengths == (2, 4, 6, 8, 10)
    assert run.tested_apart
    assert [epoch_at(run, step) for step in (2, 3, 6, 16, 30)] == [(1, 1), (2, 0.25), (2, 1), (4, 0.5), (5, 1)]
    assert epoch_at(run, float("inf")) is None
    warm = read_run(write_phased(tmp_path / "b", [(0, "scheduled", 0.1, [0.1, 0.1])], task="warm-start"))
    assert not warm.tested_apart


def test_forgetting_is_the_best_at_the_ends_of_phases_minus_the_value_at_the_end(tmp_path):
    phases = phases_of(read_run(write_phased(tmp_path / "a", at_ends())))
    assert phases is not None
    assert phases.ends == (0.2, 0.3, 0.4, 0.5, 0.6)
    assert phases.mean == pytest.approx(0.4)
    # 0.9 - 0.4, 0.8 - 0.7, 0.9 - 0.6, 0.8 - 0.9: neither the first phases' zeros count, nor the 0.99 in between
    assert phases.forgetting == pytest.approx((0.5 + 0.1 + 0.3 - 0.1) / 4)


def test_forgetting_of_a_loss_is_how_much_higher_it_is_than_at_its_lowest(tmp_path):
    run = replace(read_run(write_phased(tmp_path / "a", at_ends())), metric=LOSS)
    phases = phases_of(run)
    assert phases is not None
    assert phases.forgetting == pytest.approx(((0.4 - 0.5) + (0.7 - 0.5) + (0.6 - 0.7) + (0.9 - 0.8)) / 4)


def test_forgetting_equals_the_published_formula_written_as_loops(tmp_path):
    """f_j = max over l < k of a[l][j], from l = j on, minus a[k][j]; F = the mean over j < k (Chaudhry et al. 2018)."""
    random = np.random.default_rng(0)
    run = read_run(write_phased(tmp_path / "a", at_ends()))
    for _ in range(20):
        table = random.random((5, 5)).tolist()
        ends = dict(zip(ENDS, table, strict=True))
        changed = tuple(replace(e, by_phase=tuple(ends.get(e.step, e.by_phase))) for e in run.evaluations)
        drops = []
        for j in range(4):
            best = -1.0
            for end in range(j, 4):
                best = max(best, table[end][j])
            drops.append(best - table[4][j])
        found = phases_of(replace(run, evaluations=changed))
        assert found is not None
        assert found.forgetting == pytest.approx(sum(drops) / 4)


def test_the_end_of_a_phase_is_before_its_event(tmp_path):
    evaluations = [each for each in at_ends() if each[0] != 6]
    evaluations += [(6, "before event", 0.3, AT_ENDS[1]), (6, "after event", 0.0, [0.0] * 5)]
    run = read_run(write_phased(tmp_path / "a", sorted(evaluations, key=lambda e: e[0]), method="fire", events=(6,)))
    phases = phases_of(run)
    assert phases is not None
    assert phases.ends[1] == 0.3
    assert phases.forgetting == pytest.approx(0.2)


def test_what_is_not_known_is_no_score_and_two_phases_have_no_mean_of_their_own(tmp_path):
    lacking = [each for each in at_ends() if each[0] != 12]
    phases = phases_of(read_run(write_phased(tmp_path / "a", lacking)))
    assert phases is not None
    assert (phases.mean, phases.forgetting) == (None, None)
    nulls = [(*each[:3], [None, *each[3][1:]]) for each in at_ends()]
    phases = phases_of(read_run(write_phased(tmp_path / "b", nulls)))
    assert phases is not None
    assert phases.mean == pytest.approx(0.4)
    assert phases.forgetting is None
    warm = [(0, "scheduled", 0.1, [0.1, 0.1]), (1_000, "phase begins", 0.5, [1.0, 0.4]),
            (1_010, "scheduled", 0.7, [0.9, 0.8])]  # fmt: skip
    phases = phases_of(read_run(write_phased(tmp_path / "c", warm, task="warm-start")))
    assert phases is not None
    assert phases.ends == (0.5, 0.7)
    assert (phases.mean, phases.forgetting) == (None, None)
    assert phases_of(read_run(write_run(tmp_path / "d"))) is None


def test_a_shortened_run_has_the_phases_that_it_came_to(tmp_path):
    run = read_run(write_phased(tmp_path / "a", [each for each in at_ends() if each[0] <= 12]))
    phases = phases_of(replace(run, steps=12))
    assert phases is not None
    assert phases.ends == (0.2, 0.3, 0.4)
    assert phases.mean == pytest.approx(0.3)
    assert phases.forgetting == pytest.approx((0.9 - 0.7 + 0.8 - 0.5) / 2)


@pytest.mark.parametrize("given", [[0.5] * 1_001, ["0.5"], 0.5, [[0.5]]])
def test_other_things_than_a_number_for_each_phase_are_refused(tmp_path, given):
    folder = write_phased(tmp_path / "a", at_ends())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    odd = json.dumps(json.loads(lines[2]) | {"by_phase": given})
    (folder / "metrics.jsonl").write_text("\n".join([*lines[:2], odd, *lines[3:], ""]))
    with pytest.raises(ValueError, match="line 3 is not a line of metrics"):
        read_run(folder)


def test_numbers_beyond_all_bounds_are_none(tmp_path):
    folder = write_phased(tmp_path / "a", [(0, "scheduled", 0.1, [1e308, 0.5])])
    first, second = read_run(folder).evaluations[0].by_phase
    assert np.isnan(first)
    assert second == 0.5


# Gaps


def test_each_boundary_has_its_gap_also_where_nothing_is_done(tmp_path):
    values = {0: 0.1, 2: 0.5, 4: 0.3, 6: 0.6, 9: 0.7, 12: 0.7, 15: 0.4, 20: 0.5, 25: 0.6, 30: 0.8}
    run = read_run(
        write_phased(
            tmp_path / "a",
            [(step, "phase begins" if step in STARTS else "scheduled", v, [v] * 5) for step, v in values.items()],
        )
    )
    gaps = score(run, True).gaps
    assert [(gap.step, round(gap.depth, 9), gap.duration, gap.cut) for gap in gaps] == [
        (2, 0.2, 4, False),  # 0.3 after 0.5, and 0.6 where the next phase begins
        (6, 0.0, 0, False),  # no lower at the next look
        (12, 0.3, np.inf, True),  # 0.4, and 0.5 where the next phase begins
        (20, 0.0, 0, False),
    ]


def test_several_events_at_boundaries_are_judged_after_updates_on_the_new_phase(tmp_path):
    evaluations = [(0, "scheduled", 0.1, [0.1] * 5)]
    for step, before, after, later in ((2, 0.5, 0.2, 0.6), (6, 0.6, 0.7, 0.55), (12, 0.6, 0.6, 0.6)):
        for occasion, value, at in (("before event", before, step), ("after event", after, step),
                                    ("scheduled", later, step + 3)):  # fmt: skip
            evaluations.append((at, occasion, value, [value] * 5))
    evaluations += [(END, "scheduled", 0.9, [0.9] * 5)]
    run = read_run(write_phased(tmp_path / "a", evaluations, method="fire", events=(2, 6, 12)))
    gaps = score(run, True).gaps
    assert [(gap.step, round(gap.depth, 9), gap.duration) for gap in gaps] == [
        (2, 0.3, 3), (6, 0.05, 6), (12, 0.0, 0),
    ]  # fmt: skip


def test_the_report_counts_boundaries_among_evaluated_events(tmp_path):
    for seed in range(2):
        write_phased(tmp_path / f"n{seed}", at_ends(), seed=seed)
    none = only(analysed(tmp_path)).method("none")
    assert none.gap is not None
    assert (none.gap.events, none.gap.occurred, none.gap_without_event) == (8, 8, None)


# Several runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three runs each; those of fire know 0.01, 0.02 and 0.03 more of every phase, and end 0.1 higher."""
    path = tmp_path_factory.mktemp("phases")
    for seed in range(3):
        known = {"training_accuracy": 0.9 + seed / 100, "seen_accuracy": 0.7, "validation_accuracy": None}
        ends = (0.2, 0.3, 0.4, 0.5, 0.6 + seed / 10)
        write_phased(path / f"none{seed}", at_ends(accuracies=ends), seed=seed, others=known)
        fire: list[Evaluation] = []
        for step, occasion, accuracy, row in at_ends(0.01 * (seed + 1), [each + 0.1 for each in ends]):
            at_boundary = step in STARTS
            fire.append((step, "before event" if at_boundary else occasion, accuracy, row))
            if at_boundary:
                fire.append((step, "after event", 0.0, [0.0] * 5))
        write_phased(path / f"fire{seed}", fire, method="fire", seed=seed, others=known, events=STARTS)
    return path


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return analysed(folder)


def test_scores_over_phases_have_intervals_as_others_have(results):
    none, fire = only(results).methods
    assert none.over_phases is not None
    assert fire.over_phases is not None
    means = [0.4, 0.42, 0.44]
    assert none.over_phases.mean.value == pytest.approx(np.mean(means))
    assert [none.over_phases.mean.low, none.over_phases.mean.high] == pytest.approx([0.4, 0.44])
    assert none.over_phases.mean.n == 3
    assert fire.over_phases.iqm.value == pytest.approx(0.52)
    assert none.forgetting is not None
    assert none.forgetting.iqm.value == pytest.approx(0.2)
    assert none.also.keys() == {"training_accuracy", "seen_accuracy"}  # the one that is null has no value
    assert none.also["training_accuracy"].mean.value == pytest.approx(0.91)


def test_the_matrix_is_the_mean_of_the_runs_with_the_lowest_and_the_highest(results):
    matrix = only(results).method("fire").phases
    assert matrix is not None
    assert matrix.steps.tolist() == [0, 2, 2, 5, 6, 6, 12, 12, 15, 20, 20, 30]
    assert [step for step, before in zip(matrix.steps, matrix.before, strict=True) if before] == [2, 6, 12, 20]
    assert matrix.mean[:, -1] == pytest.approx([0.42, 0.72, 0.62, 0.92, 0.52])
    assert matrix.low[0, 1] == pytest.approx(0.91)
    assert matrix.high[0, 1] == pytest.approx(0.93)
    assert matrix.n == 3


def test_what_one_run_does_not_know_is_left_to_the_others(tmp_path):
    runs = [
        read_run(write_phased(tmp_path / "a", [(0, "scheduled", 0.1, [None, 0.5]), (5, "scheduled", 0.1, [0.5])])),
        read_run(write_phased(tmp_path / "b", [(0, "scheduled", 0.1, [None, 0.7]), (6, "scheduled", 0.1, [0.5])])),
    ]
    matrix = matrix_of(runs)
    assert matrix is not None
    assert matrix.steps.tolist() == [0]
    assert np.isnan(matrix.mean[0, 0])
    assert matrix.mean[1, 0] == pytest.approx(0.6)
    assert matrix_of([read_run(write_run(tmp_path / "c"))]) is None


def test_the_baselines_end_is_the_threshold_that_was_asked_for(folder):
    comparison = only(analysed(folder, replace(FAST, threshold="baseline")))
    assert comparison.threshold is not None
    assert comparison.threshold.value == pytest.approx(0.7)  # the mean of 0.6, 0.7 and 0.8
    assert comparison.threshold.meaning == "the IQM of the final accuracies of none"
    none, fire = comparison.methods
    assert [run.steps_to_threshold for run in none.runs] == [np.inf, 30, 30]
    assert [run.steps_to_threshold for run in fire.runs] == [30, 30, 30]
    text = markdown(report_of(analysed(folder, replace(FAST, threshold="baseline"))))
    assert "| fire | 3 | 3 of 3 | 100% [44, 100] | 30 [30, 30] | 1.00 of phase 5 [1.00, 1.00] |" in text
    other = only(analysed(folder, replace(FAST, threshold="baseline", baseline="fire")))
    assert other.threshold is not None
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
    results = analysed(tmp_path)
    assert only(results).methods[0].forgetting is None
    text = markdown(report_of(results))
    assert "on the training examples of each phase" in text
    assert "phases have no test examples of their own" in text
    assert "### Mean over phases\n" in text


def test_runs_that_diverge_count_in_every_phase(tmp_path):
    write_phased(tmp_path / "a", at_ends())
    folder = write_phased(tmp_path / "b", [each for each in at_ends() if each[0] <= 12], seed=1)
    end = {"kind": "diverged", "updates": 14, "quantity": "loss", "value": "nan"}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(end) + "\n")
    good, bad = only(analysed(tmp_path)).methods[0].runs
    assert good.phases is not None
    assert bad.phases is not None
    assert bad.phases.ends == (0.2, 0.3, 0.4, 0.1, 0.1)  # 0.1 is the lowest that any was evaluated at
    assert bad.phases.forgetting == pytest.approx((0.9 + 0.8 + 0.9 + 0.1 - 4 * 0.1) / 4)


def test_a_method_of_which_a_run_diverged_still_has_its_values_before_events(tmp_path):
    fire: list[Evaluation] = [(0, "scheduled", 0.1, [0.1] * 5)]
    for step, row in zip(STARTS, AT_ENDS[:-1], strict=True):
        fire += [(step, "before event", 0.5, row), (step, "after event", 0.2, [0.2] * 5)]
    write_phased(tmp_path / "a", [*fire, (END, "scheduled", 0.6, AT_ENDS[-1])], method="fire", events=STARTS)
    folder = write_phased(tmp_path / "b", fire[:5], method="fire", events=STARTS, seed=1)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "diverged", "updates": 8, "quantity": "loss", "value": "nan"}) + "\n")
    matrix = only(analysed(tmp_path)).methods[0].phases
    assert matrix is not None
    assert (matrix.n, matrix.steps.tolist()) == (2, [0, 2, 2, 6, 6, 12, 12, 20, 20, 30])
    assert matrix.mean[2, 5] == pytest.approx((0.9 + 0.1) / 2)  # just before the event at 12


def test_phases_without_known_beginnings_are_drawn_and_no_more(tmp_path):
    found = find_runs([write_phased(tmp_path / "a", at_ends())])
    results = analyse([replace(run, phase_starts=(), epoch_lengths=()) for run in found.runs], FAST)
    method = only(results).methods[0]
    assert method.phases is not None
    assert (method.over_phases, method.forgetting, method.gap) == (None, None, None)
    text = markdown(report_of(results))
    assert "examples at the end of the run, mean" in text
    assert "at the end of that phase" not in text


def test_runs_without_phases_have_nothing_of_this(tmp_path):
    write_comparison(tmp_path / "runs", methods=("none", "fire"), seeds=range(2), steps=4_000)
    results = analysed(tmp_path / "runs")
    write_report(results, tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert not [name for name in names if name.startswith("phases")]
    html = (tmp_path / "report" / "report.html").read_text()
    for said in ("Phase by phase", "phases.csv", "phase of the data", "Mean over phases", "other examples"):
        assert said not in html, said
    assert "within each environment; the interval" in html
    header = (tmp_path / "report" / "scores.csv").read_text().splitlines()[0]
    assert header.endswith("updates_per_second,folder")


def test_the_usual_schedule_is_not_in_a_methods_name_and_is_said_in_words(folder):
    runs: list[Run] = [run for run in find_runs([folder]).runs if run.method == "fire"]
    assert {schedule_of(run) for run in runs} == {""}
    assert schedules_in_words(analysed(folder).comparisons) == "fire where each phase but the first begins, 4 times"
    warm = replace(runs[0], phase_starts=(6,), schedule=dict(runs[0].schedule) | {"reinit_at": (6,)})
    assert (
        schedules_in_words(analyse([warm], FAST).comparisons) == "fire once, at step 6, where the second phase begins"
    )
