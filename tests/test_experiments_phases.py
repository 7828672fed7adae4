"""Scores of one run whose data comes in phases, compared with numbers worked out by hand."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fire_rl.experiments.analysis.phases import epoch_at, phases_of
from fire_rl.experiments.analysis.records import read_run
from fire_rl.experiments.analysis.scoring import score
from tests.fixtures import phased_comparison
from tests.fixtures.analysed import only, results_by_axis
from tests.fixtures.comparison import write_run
from tests.fixtures.phased_comparison import AT_ENDS, END, ENDS, LOSS, STARTS, at_ends, write_phased

folder = phased_comparison.folder
results = phased_comparison.results


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
    phases: Any = phases_of(read_run(write_phased(tmp_path / "a", at_ends())))
    assert phases.ends == (0.2, 0.3, 0.4, 0.5, 0.6)
    assert phases.mean == pytest.approx(0.4)
    # 0.9 - 0.4, 0.8 - 0.7, 0.9 - 0.6, 0.8 - 0.9, without the zeros of earlier phases and the 0.99 in between
    assert phases.forgetting == pytest.approx((0.5 + 0.1 + 0.3 - 0.1) / 4)


def test_forgetting_of_a_loss_is_how_much_higher_it_is_than_at_its_lowest(tmp_path):
    run = replace(read_run(write_phased(tmp_path / "a", at_ends())), metric=LOSS)
    phases: Any = phases_of(run)
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
        found: Any = phases_of(replace(run, evaluations=changed))
        assert found.forgetting == pytest.approx(sum(drops) / 4)


def test_the_end_of_a_phase_is_before_its_event(tmp_path):
    evaluations = [each for each in at_ends() if each[0] != 6]
    evaluations += [(6, "before event", 0.3, AT_ENDS[1]), (6, "after event", 0.0, [0.0] * 5)]
    run = read_run(write_phased(tmp_path / "a", sorted(evaluations, key=lambda e: e[0]), method="fire", events=(6,)))
    phases: Any = phases_of(run)
    assert phases.ends[1] == 0.3
    assert phases.forgetting == pytest.approx(0.2)


def test_unknown_values_have_no_score_and_two_phases_have_no_mean_of_their_own(tmp_path):
    lacking = [each for each in at_ends() if each[0] != 12]
    phases: Any = phases_of(read_run(write_phased(tmp_path / "a", lacking)))
    assert (phases.mean, phases.forgetting) == (None, None)
    nulls = [(*each[:3], [None, *each[3][1:]]) for each in at_ends()]
    phases = phases_of(read_run(write_phased(tmp_path / "b", nulls)))
    assert phases.mean == pytest.approx(0.4)
    assert phases.forgetting is None
    warm = [(0, "scheduled", 0.1, [0.1, 0.1]), (1_000, "phase begins", 0.5, [1.0, 0.4]),
            (1_010, "scheduled", 0.7, [0.9, 0.8])]  # fmt: skip
    phases = phases_of(read_run(write_phased(tmp_path / "c", warm, task="warm-start")))
    assert phases.ends == (0.5, 0.7)
    assert (phases.mean, phases.forgetting) == (None, None)
    assert phases_of(read_run(write_run(tmp_path / "d"))) is None


def test_a_shortened_run_has_the_phases_that_it_reached(tmp_path):
    run = read_run(write_phased(tmp_path / "a", [each for each in at_ends() if each[0] <= 12]))
    phases: Any = phases_of(replace(run, steps=12))
    assert phases.ends == (0.2, 0.3, 0.4)
    assert phases.mean == pytest.approx(0.3)
    assert phases.forgetting == pytest.approx((0.9 - 0.7 + 0.8 - 0.5) / 2)


@pytest.mark.parametrize("given", [[0.5] * 1_001, ["0.5"], 0.5, [[0.5]]])
def test_anything_but_a_number_for_each_phase_is_refused(tmp_path, given):
    folder = write_phased(tmp_path / "a", at_ends())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    odd = json.dumps(json.loads(lines[2]) | {"by_phase": given})
    (folder / "metrics.jsonl").write_text("\n".join([*lines[:2], odd, *lines[3:], ""]))
    with pytest.raises(ValueError, match="line 3 is not a line of metrics"):
        read_run(folder)


def test_a_value_out_of_range_becomes_nan(tmp_path):
    folder = write_phased(tmp_path / "a", [(0, "scheduled", 0.1, [1e308, 0.5])])
    first, second = read_run(folder).evaluations[0].by_phase
    assert np.isnan(first)
    assert second == 0.5


def test_each_boundary_has_its_gap_even_without_an_event(tmp_path):
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
        (6, 0.0, 0, False),  # no lower at the next evaluation
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
    none = only(results_by_axis(tmp_path)).method("none")
    assert (none.gap.events, none.gap.occurred, none.gap_without_event) == (8, 8, None)
