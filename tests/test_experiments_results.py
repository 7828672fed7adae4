"""From run folders to what a report shows."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Comparison, Options, Results
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.spreadsheet import write_scores
from tests.fixtures.comparison import write_comparison, write_run

FAST = Options(resamples=200)


def results_of(folder: Path, options: Options = FAST) -> Results:
    found = find_runs([folder])
    return analyse(found.runs, options, found.trunks)


def only(results: Results) -> Comparison:
    (comparison,) = results.comparisons
    return comparison


def noted(notes: Sequence[str], *words: str) -> bool:
    return any(all(word in note for word in words) for note in notes)


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
    fire = comparison.contrasts[2]  # in all seeds the same 6 more at the end, whatever their trunk
    assert fire.final.mean.value == pytest.approx(5.4)
    assert fire.final.mean.high - fire.final.mean.low == pytest.approx(0, abs=1e-9)
    assert len(results.trunks) == 3
    other = only(results_of(tmp_path, Options(baseline="redo", reference="none", resamples=50)))
    assert [method.method for method in other.methods] == ["redo", "fire", "reset", "none"]


def test_a_dip_is_in_the_curve_and_in_the_area_and_the_value_before_is_kept(tmp_path: Path):
    write_run(tmp_path / "run", method="fire", level=10, event_steps=(5_000,))
    (method,) = only(results_of(tmp_path)).methods
    (run,) = method.runs
    assert dict(zip(run.steps, run.values, strict=True))[5_000] == pytest.approx(1.0)
    assert run.before == {5_000: 5.0}
    assert method.curve is not None
    assert method.curve.iqm.value[method.curve.steps == 5_000] == pytest.approx(1.0)
    up, fall, back, after = 5 / 2 * 5, (1.0 + 3.6) / 2, (3.6 + 7.0) / 2, (7.0 + 10.0) / 2 * 3
    assert run.area == pytest.approx((up + fall + back + after) / 10)
    assert run.final == pytest.approx(9.5)


@pytest.mark.parametrize("early", [0, 1])  # the event falls on the scheduled evaluation, or into the step before it
def test_an_extra_look_before_an_event_is_no_point_of_the_curve(tmp_path: Path, early: int):
    """Events come too often for evaluations of their own: scheduled ones have the value that the final score counts."""
    returns = dict.fromkeys(range(0, 10_001, 1_000), 10.0)
    write_run(tmp_path / "none", returns=returns)
    write_run(tmp_path / "fire", method="fire", returns=returns, event_steps=(5_000,), dip=1.0)
    metrics = tmp_path / "fire" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    event = next(line for line in lines if "networks" in line)
    found = []
    for line in lines:
        step = line.get("decisions", 5_000)
        if line.get("occasion") == "scheduled" and 7_000 <= step < 10_000:
            place = {"environment_steps": step - early, "decisions": step - early}
            found.append(line | place | {"return": 10.0, "occasion": "before event"})
            found.append({"kind": "event"} | event | place | {"position": event["position"] | place})
            line |= {"return": 1.0}
        elif line.get("occasion") == "scheduled":
            line |= {"return": 10.0}
        found.append(line)
    metrics.write_text("".join(json.dumps(line) + "\n" for line in found))
    comparison = only(results_of(tmp_path))
    none, fire = (method.runs[0] for method in comparison.methods)
    assert fire.steps.tolist() == none.steps.tolist() == list(returns)
    assert dict(zip(fire.steps, fire.values, strict=True)) == returns | {5_000: 0.0}
    assert fire.before == {5_000: 10.0}
    assert none.area == 10.0
    assert fire.area == pytest.approx(10.0 - 10 * 500 / 10_000)  # what the event at 5,000 cost, seen on both sides
    assert fire.final == 10.0
    for method in comparison.methods:
        assert method.curve is not None
        assert method.curve.steps.tolist() == list(returns)
        assert not method.curve.interpolated
    assert not noted(comparison.notes, "events at the same steps")
    assert [gap.depth for gap in fire.gaps] == [10.0, 9.0, 9.0, 9.0]  # kept for what events cost


def test_a_branchs_area_counts_from_the_branch_on_with_or_without_an_evaluation_there(tmp_path: Path):
    trunk = f"{tmp_path / 'trunk'}@2500"
    returns = {0: 0.0, 2_000: 4.0, 3_000: 6.0, 4_000: 6.0}
    write_run(tmp_path / "none", steps=4_000, branch_from=trunk, returns=returns)
    event = {0: 0.0, 2_000: 4.0, 2_500: 5.0, 3_000: 6.0, 4_000: 6.0}
    write_run(
        tmp_path / "fire", method="fire", steps=4_000, branch_from=trunk, returns=event, event_steps=(2_500,), dip=1.0
    )
    comparison = only(results_of(tmp_path))
    areas = {method.method: method.runs[0].area for method in comparison.methods}
    assert areas["none"] == pytest.approx((5.5 * 500 + 6 * 1_000) / 1_500)
    assert areas["fire"] == pytest.approx((0.75 * 2 * 500 + 4.5 * 1_000) / 1_500)
    assert noted(comparison.notes, "Not all runs were evaluated at the same steps", "none")
    curve = comparison.methods[0].curve
    assert curve is not None
    assert curve.iqm.value.tolist() == [0, 4, 5, 6, 6]


def test_the_stability_gap_is_how_deep_and_how_long_the_return_stays_below(tmp_path: Path):
    back = {0: 0.0, 1_000: 8.0, 2_000: 8.0, 3_000: 8.0, 4_000: 8.0}
    write_run(tmp_path / "a", method="fire", steps=4_000, returns=back, event_steps=(1_000,), seed=0)
    never = {0: 0.0, 1_000: 8.0, 2_000: 8.0, 3_000: 7.0, 4_000: 6.0}
    write_run(tmp_path / "b", method="fire", steps=4_000, returns=never, event_steps=(1_000,), seed=1)
    (method,) = only(results_of(tmp_path)).methods
    first, second = (run.gaps[0] for run in method.runs)
    assert (first.depth, first.share) == pytest.approx((6.4, 0.8))
    assert (first.duration, second.duration, second.observed) == (2_000, np.inf, 3_000)
    for gap, run in zip((first, second), method.runs, strict=True):
        points = [(e.step, e.mean) for e in run.run.evaluations if e.step > 1_000 or e.occasion == "after event"]
        steps, values = np.array(points, dtype=float).T
        fine = np.linspace(1_000, 1_000 + min(gap.duration, gap.observed), 100_001)
        assert gap.area == pytest.approx(
            np.trapezoid(np.maximum(0, 8.0 - np.interp(fine, steps, values)), fine), rel=1e-4
        )
    assert method.gap is not None
    assert method.gap.area.value == pytest.approx((first.area + second.area) / 2)
    assert method.gap is not None
    assert method.gap.depth.value == pytest.approx(6.4)
    assert (method.gap.regained.value, method.gap.duration.value) == (0.5, 2_000)


def test_a_method_that_acts_again_before_the_next_evaluation_has_no_stability_gap(tmp_path: Path):
    """Blank, and why: what would have come back nobody has seen."""
    write_comparison(tmp_path, methods=("none", "redo", "cbp", "none+l2-init"), seeds=range(2))
    for seed in range(2):
        metrics = tmp_path / f"MinAtar_Breakout-v1-redo-seed{seed}" / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        event = next(line for line in lines if "networks" in line)
        place = next(index for index, line in enumerate(lines) if line.get("occasion") == "after event") + 1
        position = event["position"] | {"environment_steps": 5_100}
        lines.insert(place, event | {"kind": "event", "environment_steps": 5_100, "position": position})
        metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    none, *others = only(results_of(tmp_path)).methods
    assert none.pretended is not None
    assert none.no_gap == ""
    for method in others:
        assert (method.gap, method.pretended) == (None, None)
    reasons = {method.method: method.no_gap for method in others}
    assert "acts again" in reasons["redo"]
    assert "no single events" in reasons["cbp"]
    assert reasons["none+l2-init"] == reasons["cbp"]
    text = markdown(report_of(results_of(tmp_path)))
    assert "| redo | – | – | – | – | – | – |" in text
    assert "redo has no stability gap: it acts again" in text


def test_evaluations_around_events_and_those_of_the_trunk_are_in_no_final_score(tmp_path: Path):
    """Both methods are at 10 wherever they are evaluated by schedule."""
    returns = dict.fromkeys(range(0, 10_001, 500), 10.0)
    for method, events in (("none", ()), ("reset", (9_500, 9_700))):
        write_run(
            tmp_path / method, method=method, returns=returns | dict.fromkeys(events, 10.0), eval_every=500,
            event_steps=events, dip=1.0,
        )  # fmt: skip
        metrics = tmp_path / method / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        for line in lines:
            line |= {"return": 10.0} if line.get("occasion") == "scheduled" else {}
        metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    finals = {method.method: method.runs[0].final for method in only(results_of(tmp_path)).methods}
    assert finals == {"none": 10.0, "reset": 10.0}
    late = tmp_path / "late"
    trunk = f"{late / 'trunk'}@9600"
    risen = dict.fromkeys(range(0, 9_501, 500), 1.0) | {9_600: 1.0, 10_000: 5.0}
    write_run(late / "none", returns=risen, eval_every=500, branch_from=trunk)
    assert only(results_of(late)).methods[0].runs[0].final == 5.0


def test_a_threshold_is_reached_only_where_something_was_evaluated(tmp_path: Path):
    """At the branch, between two evaluations, a straight line would be above it already."""
    trunk = f"{tmp_path / 'trunk'}@2500"
    returns = {0: 0.0, 2_000: 4.0, 3_000: 6.0, 4_000: 7.0}
    write_run(tmp_path / "none", steps=4_000, branch_from=trunk, returns=returns)
    write_run(
        tmp_path / "fire", method="fire", steps=4_000, branch_from=trunk, returns=returns | {2_500: 5.0},
        event_steps=(2_500,), dip=0.0,
    )  # fmt: skip
    comparison = only(results_of(tmp_path, Options(threshold=4.9)))
    reached = {method.method: method.runs[0].steps_to_threshold for method in comparison.methods}
    assert reached == {"none": 3_000, "fire": 2_500}
    assert [method.runs[0].already for method in comparison.methods] == [False, True]


def test_gaps_of_several_events_are_each_watched_until_the_next(tmp_path: Path):
    returns = {0: 0, 1_000: 8, 2_000: 8, 3_000: 8, 4_000: 4, 5_000: 8, 6_000: 8, 7_000: 8}
    for seed in range(3):
        write_run(
            tmp_path / str(seed), method="redo", steps=7_000, seed=seed, returns=returns, event_steps=(1_000, 4_000)
        )
        metrics = tmp_path / str(seed) / "metrics.jsonl"
        event = next(line for line in metrics.read_text().splitlines() if '"event"' in line and "networks" in line)
        unevaluated = json.loads(event)
        unevaluated["position"]["environment_steps"] = unevaluated["environment_steps"] = 2_500
        lines = metrics.read_text().splitlines()
        place = next(index for index, line in enumerate(lines) if '"environment_steps": 3000' in line)
        metrics.write_text("\n".join([*lines[:place], json.dumps(unevaluated), *lines[place:], ""]))
    comparison = only(results_of(tmp_path))
    (method,) = comparison.methods
    first, second = method.runs[0].gaps
    assert (first.step, first.duration, first.observed) == (1_000, np.inf, 1_000)  # back at 3,000, after the next event
    assert (second.step, second.duration) == (4_000, 1_000)
    assert method.gap is not None
    assert (method.gap.events, method.gap.occurred, method.gap.depth.n) == (6, 9, 3)
    assert (method.gap.regained.value, method.gap.regained.n) == (0.5, 3)
    assert method.gap.duration.value == 1_000
    assert method.gap.duration.n == 3
    assert [gap.cut for gap in method.runs[0].gaps] == [True, False]
    assert noted(comparison.notes, "3 of 6 stability gaps of redo end with the run's next event")


def test_a_method_without_events_has_the_gap_that_noise_alone_makes(tmp_path: Path):
    returns = {0: 0, 1_000: 8, 2_000: 6, 3_000: 9}
    for seed in range(2):
        trunk = write_run(tmp_path / f"trunk{seed}", steps=1_000, seed=seed)
        for method, events in (("none", ()), ("fire", (1_000,))):
            write_run(
                tmp_path / f"{method}{seed}", method=method, steps=3_000, seed=seed, returns=returns,
                branch_from=f"{trunk}@1000", event_steps=events,
            )  # fmt: skip
    none, fire = only(results_of(tmp_path)).methods
    assert (none.gap, fire.pretended) == (None, None)
    assert none.pretended is not None
    assert (none.pretended.depth.value, none.pretended.duration.value, none.pretended.occurred) == (2, 2_000, 0)


def test_trunks_that_were_already_above_the_threshold_are_counted(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))  # trunks end at 5, 6 and 7
    comparison = only(results_of(tmp_path, Options(threshold=6.0, resamples=50)))
    for method in comparison.methods:
        assert method.threshold is not None
        assert method.threshold.already == 2
        assert [run.already for run in method.runs] == [False, True, True]


def test_thresholds_are_the_success_bar_or_a_share_of_the_best_baseline(tmp_path: Path):
    write_comparison(tmp_path / "low", agent="sac", environments=("h1-walk",), methods=("none", "fire"), seeds=(0, 1))
    low = only(results_of(tmp_path / "low"))
    assert low.threshold is not None
    start = 2.377  # of a random policy
    none = float(np.mean(np.array([run.final for run in low.method("none").runs], dtype=float)))
    assert low.threshold.value == pytest.approx(start + 0.9 * (none - start))
    assert "none" in low.threshold.meaning
    write_run(tmp_path / "high", agent="sac", env="h1-walk", level=900)
    high = only(results_of(tmp_path / "high"))
    assert high.threshold is not None
    assert (high.threshold.value, high.threshold.meaning) == (700.0, "the success bar of h1-walk")
    assert high.methods[0].runs[0].steps_to_threshold == 8_000
    given = only(results_of(tmp_path / "high", Options(threshold=1_000, resamples=50)))
    assert (given.methods[0].runs[0].steps_to_threshold, given.methods[0].runs[0].reached) == (np.inf, False)
    assert noted(given.notes, "never reached the threshold", "none 1 of 1")
    write_run(tmp_path / "minatar")
    with pytest.raises(ValueError, match=r"MinAtar/Breakout-v1 has no success bar"):
        results_of(tmp_path / "minatar", Options(threshold="success"))


def test_unfinished_and_missing_runs_are_said_and_count_nowhere(tmp_path: Path):
    write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3))
    write_run(tmp_path / "late", seed=3, reached=4_000)
    write_run(tmp_path / "alone", method="reset", reached=6_000)
    comparison = only(results_of(tmp_path))
    assert comparison.method("none").n == 3
    assert len(comparison.method("none").runs) == 4
    assert comparison.method("reset").final is None
    curve = comparison.method("reset").curve
    assert curve is not None
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


def test_runs_that_differ_in_more_than_the_method_are_said(tmp_path: Path):
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


def test_runs_of_the_same_settings_and_other_results_are_no_copies(tmp_path: Path):
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


def test_runs_that_share_one_trunk_are_no_pairs(tmp_path: Path):
    for seed in range(2):
        for method in ("none", "fire"):
            write_run(tmp_path / f"{method}{seed}", method=method, seed=seed, branch_from="/gone/trunk@5000")
    with pytest.raises(
        ValueError, match="2 runs of fire in MinAtar/Breakout-v1 branch from 1 trunk: only one run of each"
    ):
        results_of(tmp_path)


def test_a_run_whose_returns_stop_being_numbers_has_no_score(tmp_path: Path):
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


def test_runs_without_a_common_step_have_a_curve_between_their_evaluations(tmp_path: Path):
    write_run(tmp_path / "a", seed=0, returns={0: 1, 1_000: 2, 10_000: 11})
    write_run(tmp_path / "b", seed=1, returns={500: 1, 9_500: 10, 10_100: 4})
    curve = only(results_of(tmp_path)).methods[0].curve
    assert curve is not None
    assert curve.steps.tolist() == [500, 1_000, 9_500, 10_000]
    assert curve.mean.value[:2] == pytest.approx([1.25, 1.75])
    write_run(tmp_path / "c", seed=2, returns={11_000: 1})
    assert only(results_of(tmp_path)).methods[0].curve is None


def test_a_curve_keeps_what_it_was_just_before_an_event_of_all_runs(tmp_path: Path):
    write_comparison(tmp_path, methods=("fire",), seeds=range(4))
    curve = only(results_of(tmp_path)).methods[0].curve
    assert curve is not None
    assert list(curve.before) == [5_000]
    assert curve.before[5_000].mean.value == pytest.approx(6.5)
    assert curve.mean.value[curve.steps == 5_000] == pytest.approx(1.3)
    write_run(tmp_path / "late", method="fire", seed=4, event_steps=(6_000,))
    comparison = only(results_of(tmp_path))
    late = comparison.methods[0].curve
    assert late is not None
    assert late.before == {}
    assert noted(comparison.notes, "Not all runs of fire had their events at the same steps")


def test_runs_that_were_asked_for_and_are_not_there_and_failed_ones_are_said(tmp_path: Path):
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


def test_intervals_are_judged_by_the_fewest_runs_in_an_environment(tmp_path: Path):
    tasks = ("h1-walk", "h1-run")
    write_comparison(tmp_path, agent="sac", environments=tasks, methods=("none", "fire"), seeds=range(5))
    write_run(tmp_path / "reset0", agent="sac", env="h1-walk", method="reset")
    write_run(tmp_path / "reset1", agent="sac", env="h1-run", method="reset")
    results = results_of(tmp_path)
    (across,) = results.across
    assert across.methods[0].final is not None
    final = across.methods[0].final.iqm
    assert (final.n, final.smallest, final.runs_said()) == (10, 5, "2 environments × 5 runs")
    assert len(across.methods[0].runs) == 10
    assert noted(across.notes, "Fewer than 10 runs in an environment", "none 2 environments × 5 runs", "84%", "91%")
    single = next(each for each in results.comparisons[0].contrasts if each.method == "reset")
    assert (single.final.iqm.bounded, single.final.iqm.runs_said()) == (False, "1 and 5 runs")
    assert not next(each for each in across.contrasts if each.method == "reset").final.iqm.bounded
    assert noted(results.comparisons[0].notes, "reset 1", "a single run has no interval")
    joint = next(each for each in across.contrasts if each.method == "fire")
    assert joint.final.trunks is not None
    assert (joint.final.trunks.better, joint.final.trunks.share.n, len(joint.trunk_differences)) == (10, 10, 10)


def test_environments_are_averaged_in_normalised_scores_only(tmp_path: Path):
    tasks = ("h1-walk", "h1-run")
    write_comparison(tmp_path, agent="sac", environments=tasks, methods=("none", "fire"), seeds=range(3))
    results = results_of(tmp_path)
    (across,) = results.across
    none = next(method for method in across.methods if method.method == "none")
    scores = [run.normalised for each in results.comparisons for run in each.method("none").runs]
    assert none.final is not None
    assert none.final.mean.value == pytest.approx(np.mean(np.array(scores, dtype=float)))
    assert (none.n, none.final.iqm.n) == (6, 6)
    assert none.curve is not None
    assert across.contrasts[0].paired
    fire = next(method for method in across.methods if method.method == "fire")
    assert fire.curve is not None
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
        results_of(tmp_path, Options(reference="fir"))


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
