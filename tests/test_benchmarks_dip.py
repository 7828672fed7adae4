"""The table of the dip, and the report of repaired events, from runs with known numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.dip import Asked, cell, of_gaps, table_of, words_of
from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.drawing import looks, style
from fire_rl.experiments.report.recovery import gap_section
from fire_rl.experiments.report.run_sections import run_sections
from tests.fixtures.comparison import write_comparison

METHODS = ("none", "fire", "fire:repair=head")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = write_comparison(tmp_path_factory.mktemp("runs"), methods=METHODS, seeds=range(6), steps=4_000)
    for path in folder.glob("*repair=head*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for network in (each for line in lines if line["kind"] == "event" for each in line["networks"]):
            network["figures"] = {"output error before repair": 1.5, "output error after repair": 0.25}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = find_runs([folder])
    return analyse(found.runs, Options(baseline="fire", resamples=50), found.trunks)


def test_differences_to_fire_have_exact_paired_intervals():
    differences = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    others = np.array([10.0, 0.0, 20.0, 5.0, 7.0, 30.0])
    # Of the 64 sign flips, floor(64 * 0.025) = 1 may be passed on each side: the second smallest mean of a subset of
    # the differences, and the second largest.
    means = sorted(
        differences[[bool(chosen >> place & 1) for place in range(6)]].mean() for chosen in range(1, 64)
    )  # fmt: skip
    assert cell((others + differences).tolist(), others.tolist()) == f"15.5 (+3.50 [{means[0]:.2f}, {means[-1]:.2f}])"
    assert cell([1.0, 2.0], [0.0, 0.0]) == "1.50 (+1.50)"  # too few trunks for an interval
    assert cell([1.0, float("nan")], None) == cell([], None) != ""


def test_the_table_has_every_method_with_its_dip_and_its_trainability(results):
    (comparison,) = results.comparisons
    scores = {seed: {name: {"q": 0.5 + 0.1 * place} for place, name in enumerate(METHODS)} for seed in range(6)}
    heads, _, *rows = [line.strip("| ").split(" | ") for line in table_of(comparison, scores).splitlines()]
    cells = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert set(cells) == {f"`{name}`" for name in METHODS}
    assert cells["`fire`"]["trainability of q"] == "0.600"
    assert cells["`fire:repair=head`"]["trainability of q"].startswith("0.700 (+0.100")
    fire = comparison.method("fire")
    area = np.mean(of_gaps(fire, "area"))
    assert cells["`fire`"]["area of the dip, return × steps"] == f"{area / 1_000:.1f}k" if area > 1e4 else f"{area:.0f}"
    assert all(value > 0 for value in of_gaps(fire, "area"))
    assert np.mean(of_gaps(comparison.method("none"), "depth")) == pytest.approx(0.0)


def test_the_command_for_the_runs_is_one_that_compare_understands(tmp_path: Path):
    words = words_of(Asked(tmp_path, seeds="0-1", steps=2_000, replay_ratio=4.0), ["--eval-every", "500"])
    grid = make_grid(*read_options(words))
    assert (grid.agent, len(grid.seeds), grid.branch_at) == ("dqn", 2, 0.5)
    assert grid.methods == Asked(tmp_path).methods


def test_the_report_shows_the_area_and_what_a_repair_did(results):
    (comparison,) = results.comparisons
    with style():
        section = gap_section(comparison, looks(results.methods))
        events = next(each for each in run_sections(comparison, looks(results.methods)) if each.title == "Events")
    assert section is not None
    assert section.tables[0].columns[-1] == "area, return × steps"
    means, single = events.tables
    rows = {row.cells[0]: dict(zip(means.columns, row.cells, strict=True)) for row in means.rows}
    assert rows["fire:repair=head"]["output error without repair"] == "1.50"
    assert rows["fire:repair=head"]["output error"] == "0.250"
    assert any(row.cells[-1].endswith("error 1.50 → 0.250") for row in single.rows)
    assert not any("error" in row.cells[-1] for row in single.rows if row.cells[0] == "fire")
