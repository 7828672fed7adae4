"""The table of the dip, and the report of repaired events, from runs with known numbers."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import dip
from benchmarks.dip import Asked, body, cell, measured, of_gaps, scores_of, table_of, words_of
from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.commands.train import train_dqn
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.records import read_run
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.experiments.diagnosis.subjects import subjects_of
from fire_rl.experiments.report.drawing import looks, style
from fire_rl.experiments.report.recovery import gap_section
from fire_rl.experiments.report.run_sections import run_sections
from fire_rl.fire.diagnosis import FORMS
from tests.fixtures.calling import call, quietly
from tests.fixtures.comparison import write_comparison, write_run

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


def cells_of(table: str) -> dict[str, dict[str, str]]:
    """Return the cells of a Markdown table by method and column."""
    heads, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {row[0]: dict(zip(heads, row, strict=True)) for row in rows}


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
    cells = cells_of(table_of(comparison, scores, (1e-3,)))
    assert set(cells) == {f"`{name}`" for name in METHODS}
    assert cells["`fire`"]["trainability of q at learning rate 0.001"] == "0.600"
    assert cells["`fire:repair=head`"]["trainability of q at learning rate 0.001"].startswith("0.700 (+0.100")
    several = cells_of(table_of(comparison, scores, (3e-4, 1e-3)))
    assert several["`fire`"]["trainability of q at the best of learning rates 0.0003, 0.001"] == "0.600"
    assert cells["`fire`"]["regained"] == "6 of 6"
    fire = comparison.method("fire")
    area = np.mean(of_gaps(fire, "area"))
    assert cells["`fire`"]["area of the dip, return × steps"] == f"{area / 1_000:.1f}k" if area > 1e4 else f"{area:.0f}"
    assert all(value > 0 for value in of_gaps(fire, "area"))
    assert np.mean(of_gaps(comparison.method("none"), "depth")) == pytest.approx(0.0)


def test_a_level_that_is_never_regained_is_counted_and_its_dip_ends_with_the_run(tmp_path: Path):
    folder = write_comparison(tmp_path, methods=("none", "fire"), seeds=range(2), steps=4_000)
    path = folder / "MinAtar_Breakout-v1-fire-seed0" / "metrics.jsonl"  # with a return of 5 before the event
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "evaluation" and line["environment_steps"] >= 2_000 and line["occasion"] != "before event":
            line |= {"return": 0.0, "returns": [0.0] * 10}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = find_runs([folder])
    (comparison,) = analyse(found.runs, Options(baseline="fire", resamples=50), found.trunks).comparisons
    fire = comparison.method("fire")
    assert (of_gaps(fire, "duration")[0], of_gaps(fire, "area")[0]) == (2_000.0, 5.0 * 2_000)
    cells = cells_of(table_of(comparison, {}, (1e-3,)))
    assert (cells["`fire`"]["regained"], cells["`none`"]["regained"]) == ("1 of 2", "2 of 2")


WRONG = {
    "--probe-seeds 2": "--probe-seeds=2 given; allowed are 3 to 11",
    "--probe-rates 0": "--probe-rates=(0.0,) given; allowed are learning rates above 0",
    "--probe-rates nan": "--probe-rates=(nan,) given; allowed are learning rates above 0",
    "--probe-updates 0": "--probe-updates 0 given; allowed are 10 or more",
    "--methods none redo": "--methods none redo given; fire must be one of them",
    "--methods fire fyre": "method 'fyre' is unknown",
    "--methods fire fire+l2-init": "method 'fire+l2-init' is unknown",
    "--threads 0": "--threads 0 given; allowed is 1 to 4,096",
    "--seeds 3-1": "--seeds '3-1' given",
    "--learning-rate 1e-3 1e-4": "--learning-rate given with several values; allowed is one",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_in_one_line_before_anything_runs(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dip, "compare", lambda words: pytest.fail("runs were begun"))
    code, _, errors = call(body, "--dir", str(tmp_path / "runs"), *wrong.split())
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(WRONG[wrong])
    assert not (tmp_path / "runs").exists()


def test_a_damaged_file_of_trainability_is_named_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dip, "compare", lambda words: pytest.fail("runs were begun"))
    (tmp_path / "trainability").mkdir()
    for content in ('{"probe": {', "[]", '{"probe": {}, "step": 1, "scores": {"none": {"q": "high"}}}'):
        (tmp_path / "trainability" / "trunk.json").write_text(content)
        code, _, errors = call(body, "--dir", str(tmp_path))
        assert (code, errors.count("\n")) == (2, 1)
        assert "trunk.json" in errors
        assert "without this file, its trunk is measured again" in errors


def keep_scores(folder: Path, seeds: Any, methods: tuple[str, ...]) -> None:
    """Write the trainability of trunks as if it had been measured."""
    (folder / "trainability").mkdir(exist_ok=True)
    probe = {"updates": 200, "rates": [1e-3], "seeds": 5, "points": 10}
    for seed in seeds:
        scores = {method: {"q": 0.1 * place} for place, method in enumerate(methods)}
        path = folder / "trainability" / f"MinAtar_Breakout-v1-trunk-seed{seed}.json"
        path.write_text(json.dumps({"probe": probe, "step": 2_000, "scores": scores}))


def test_trunks_that_cannot_be_measured_are_skipped_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_comparison(tmp_path, methods=("none", "fire"), seeds=range(3), steps=4_000)
    shutil.rmtree(folder / "MinAtar_Breakout-v1-trunk-seed2")
    write_run(folder / "MinAtar_Breakout-v1-trunk-seed2", seed=2, steps=2_000, diverged=1_500)
    asked, found = Asked(folder, methods=("none", "fire")), find_runs([folder])
    with pytest.raises(ValueError, match="none of its 3 trunks can be measured"):
        measured(found, asked)
    keep_scores(folder, [0], METHODS)
    capsys.readouterr()
    assert measured(found, asked) == {0: {"none": {"q": 0.0}, "fire": {"q": 0.1}}}, "only the methods asked for"
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "trunk-seed1 is skipped, and not in the table: " in said[0]
    assert "no checkpoint" in said[0]
    assert "trunk-seed2 is skipped, and not in the table: it diverged at step 1,500" in said[1]


def test_the_table_has_only_the_runs_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    games = ("MinAtar/Breakout-v1", "MinAtar/Asterix-v1")
    folder = write_comparison(tmp_path, methods=("none", "fire", "reset"), seeds=range(3), environments=games)
    keep_scores(folder, range(3), ("none", "fire", "reset"))
    for path in (folder / "trainability").iterdir():
        path.write_text(path.read_text().replace("2000", "5000"))
    monkeypatch.setattr(dip, "compare", lambda words: 0)
    words = ("--env", games[0], "--methods", "none", "fire", "--seeds", "0-1", "--steps", "10000")
    out = quietly(body, "--dir", str(folder), *words)
    cells = cells_of((folder / "dip.md").read_text())
    assert set(cells) == {"`none`", "`fire`"}
    assert all(row["trunks"] == "2" for row in cells.values())
    assert (folder / "dip.md").read_text() in out + "\n"
    with (folder / "trainability.csv").open() as file:
        rows = [(row["seed"], row["step"], row["method"]) for row in csv.DictReader(file)]
    assert rows == [(seed, "5000", method) for seed in "01" for method in ("fire", "none")]


def test_only_methods_that_were_not_measured_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trunk = read_run(write_run(tmp_path / "MinAtar_Breakout-v1-trunk-seed0", steps=2_000))
    keep_scores(tmp_path, [0], ("none", "fire"))
    calls = []

    def newly(trunk: Any, step: int, methods: list[str], asked: Asked) -> dict[str, dict[str, float]]:
        calls.append(methods)
        return {method: {"q": 0.9} for method in methods}

    monkeypatch.setattr(dip, "newly_measured", newly)
    asked = Asked(tmp_path, methods=("fire", "reset"))
    for _ in range(2):
        assert scores_of(trunk, 2_000, asked) == {"fire": {"q": 0.1}, "reset": {"q": 0.9}}
    scores_of(trunk, 2_000, Asked(tmp_path, methods=("fire",), probe_rates=(1e-2,)))
    assert calls == [["reset"], ["fire"]]


def test_every_network_is_probed_at_its_own_best_rate(tmp_path: Path, unrendered: None):
    words = ["--env", "CartPole-v1", "--steps", "240", "--num-envs", "2", "--learning-starts", "40", "--threads", "1"]
    words += ["--hidden-width", "16", "--batch-size", "8", "--eval-every", "1000", "--eval-episodes", "1"]
    train_dqn([*words, "--checkpoint-at", "140", "--device", "cpu", "--run-dir", str(tmp_path / "run")])
    rates = (0.1, 0.08)  # the first is the best one for this network, the second for fresh networks
    asked = Asked(tmp_path, methods=("none", "fire"), probe_updates=20, probe_seeds=3, probe_rates=rates)
    found = scores_of(read_run(tmp_path / "run"), 140, asked)
    loaded = load_run(tmp_path / "run", 140, False, lambda line: None)
    (subject,) = subjects_of(loaded)
    bench, modules = subject.bench(loaded, asked.probe), [subject.network.module]
    readings = [bench.read(form, modules, form, rates).best for form in FORMS]
    assert found["none"]["q"] == min(reading.value for reading in readings)
    assert found["fire"]["q"] != found["none"]["q"]


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
