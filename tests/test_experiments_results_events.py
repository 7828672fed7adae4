"""Evaluations around events: the dip after a reset, the area under the curve and the stability gap."""

import json
from pathlib import Path

import numpy as np
import pytest

from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.markdown import markdown
from tests.fixtures.analysed import noted, only, results_of
from tests.fixtures.comparison import write_comparison, write_run


def test_a_dip_is_in_the_curve_and_in_the_area_and_the_value_before_is_kept(tmp_path: Path):
    write_run(tmp_path / "run", method="fire", level=10, event_steps=(5_000,))
    (method,) = only(results_of(tmp_path)).methods
    (run,) = method.runs
    assert dict(zip(run.steps, run.values, strict=True))[5_000] == pytest.approx(1.0)
    assert run.before == {5_000: 5.0}
    assert method.curve.iqm.value[method.curve.steps == 5_000] == pytest.approx(1.0)
    up, fall, back, after = 5 / 2 * 5, (1.0 + 3.6) / 2, (3.6 + 7.0) / 2, (7.0 + 10.0) / 2 * 3
    assert run.area == pytest.approx((up + fall + back + after) / 10)
    assert run.final == pytest.approx(9.5)


@pytest.mark.parametrize("early", [0, 1])  # the event is at the scheduled evaluation, or within the step before it
def test_an_extra_evaluation_before_an_event_is_no_point_of_the_curve(tmp_path: Path, early: int):
    """Events are too frequent for evaluations of their own: the final score has only scheduled ones."""
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
    assert fire.area == pytest.approx(10.0 - 10 * 500 / 10_000)  # the cost of the event at 5,000, from both sides
    assert fire.final == 10.0
    for method in comparison.methods:
        assert method.curve.steps.tolist() == list(returns)
        assert not method.curve.interpolated
    assert not noted(comparison.notes, "events at the same steps")
    assert [gap.depth for gap in fire.gaps] == [10.0, 9.0, 9.0, 9.0]  # kept for the cost of events


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
    assert curve.iqm.value.tolist() == [0, 4, 5, 6, 6]


def test_an_area_begins_at_step_0_with_the_first_known_value(tmp_path: Path):
    write_run(tmp_path / "none", steps=4_000, returns={0: 4.0, 2_000: 4.0, 4_000: 8.0})
    write_run(tmp_path / "fire", method="fire", steps=4_000, returns={2_000: 4.0, 4_000: 8.0})
    assert [method.runs[0].area for method in only(results_of(tmp_path)).methods] == [5.0, 5.0]


def test_the_stability_gap_measures_how_deep_and_how_long_the_return_stays_below(tmp_path: Path):
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
        below = np.maximum(0, 8.0 - np.interp(fine, steps, values))
        assert gap.area == pytest.approx(np.trapezoid(below, fine), rel=1e-4)
    assert method.gap.area.value == pytest.approx((first.area + second.area) / 2)
    assert method.gap.depth.value == pytest.approx(6.4)
    assert (method.gap.regained.value, method.gap.duration.value) == (0.5, 2_000)


def test_a_method_that_acts_again_before_the_next_evaluation_has_no_stability_gap(tmp_path: Path):
    """The gap is blank, with a reason, because nobody has seen whether the return would have recovered."""
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
    assert none.gap_without_event is not None
    assert none.no_gap == ""
    for method in others:
        assert (method.gap, method.gap_without_event) == (None, None)
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


def test_the_gap_of_each_of_several_events_is_measured_until_the_next_event(tmp_path: Path):
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
    assert (first.step, first.duration, first.observed) == (
        1_000,
        np.inf,
        1_000,
    )  # recovered at 3,000, after the next event
    assert (second.step, second.duration) == (4_000, 1_000)
    assert (method.gap.events, method.gap.occurred, method.gap.depth.n) == (6, 9, 3)
    assert (method.gap.regained.value, method.gap.regained.n) == (0.5, 3)
    assert method.gap.duration.value == 1_000
    assert method.gap.duration.n == 3
    assert [gap.cut for gap in method.runs[0].gaps] == [True, False]
    assert noted(comparison.notes, "3 of 6 stability gaps of redo end with the run's next event")


def test_a_method_without_events_has_the_gap_of_noise_alone(tmp_path: Path):
    returns = {0: 0, 1_000: 8, 2_000: 6, 3_000: 9}
    for seed in range(2):
        trunk = write_run(tmp_path / f"trunk{seed}", steps=1_000, seed=seed)
        for method, events in (("none", ()), ("fire", (1_000,))):
            write_run(
                tmp_path / f"{method}{seed}", method=method, steps=3_000, seed=seed, returns=returns,
                branch_from=f"{trunk}@1000", event_steps=events,
            )  # fmt: skip
    none, fire = only(results_of(tmp_path)).methods
    assert (none.gap, fire.gap_without_event) == (None, None)
    assert (
        none.gap_without_event.depth.value,
        none.gap_without_event.duration.value,
        none.gap_without_event.occurred,
    ) == (2, 2_000, 0)


def test_a_curve_keeps_the_values_just_before_an_event_of_all_runs(tmp_path: Path):
    write_comparison(tmp_path, methods=("fire",), seeds=range(4))
    curve = only(results_of(tmp_path)).methods[0].curve
    assert list(curve.before) == [5_000]
    assert curve.before[5_000].mean.value == pytest.approx(6.5)
    assert curve.mean.value[curve.steps == 5_000] == pytest.approx(1.3)
    write_run(tmp_path / "late", method="fire", seed=4, event_steps=(6_000,))
    comparison = only(results_of(tmp_path))
    late = comparison.methods[0].curve
    assert late.before == {}
    assert noted(comparison.notes, "Not all runs of fire had their events at the same steps")
