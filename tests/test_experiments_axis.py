"""Runs that differ in a setting are compared for each value, whoever made them, and shown together over all values."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fire_rl.commands.compare import body
from fire_rl.experiments.analysis.axis import axes_of, over_axes
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.results import Options
from fire_rl.experiments.report.axis_section import draw_axis_paper, positions
from fire_rl.experiments.report.contents import report_of
from fire_rl.experiments.report.drawing import looks, style
from fire_rl.experiments.report.latex import latex_table
from fire_rl.experiments.report.markdown import markdown
from fire_rl.experiments.report.spreadsheet import write_scores
from tests.fixtures.analysed import results_by_axis
from tests.fixtures.comparison import write_run

OPTIONS = Options(resamples=50)
RATIOS = (1.0, 4.0, 16.0)


def write_runs(folder: Path, methods: Mapping[str, float], seeds: int = 2, **settings: Any) -> Path:
    """Write runs of some methods with the return that they reach. `settings` are those of the run."""
    for method, level in methods.items():
        name, _, every = method.partition("@every=")
        own = settings | ({"reinit_every": int(every), "reinit_at": ()} if every else {})
        for seed in range(seeds):
            write_run(
                folder / f"{method}-{seed}", method=name, seed=seed, level=level + seed, settings=own, steps=4_000,
                event_steps=(2_000,) if name == "fire" and not every else (),
            )  # fmt: skip
    return folder


@pytest.fixture
def joined(tmp_path: Path) -> list[Path]:
    """Three sweeps, each with its own replay ratio."""
    return [
        write_runs(tmp_path / f"ratio{ratio:g}", {"none": 10 - ratio / 4, "fire": 12.0}, replay_ratio=ratio)
        for ratio in RATIOS
    ]


def test_sweeps_made_with_a_value_each_are_joined_and_never_averaged(joined: list[Path]):
    results = results_by_axis(*joined)
    (axis,) = results.axes
    assert (axis.name, axis.values) == ("run.replay_ratio", ("1", "4", "16"))
    assert [each.where for each in results.comparisons] == [
        f"MinAtar/Breakout-v1, replay ratio {value}" for value in ("1", "4", "16")
    ]
    for ratio, comparison in zip(RATIOS, results.comparisons, strict=True):
        assert {run.run.replay_ratio for method in comparison.methods for run in method.runs} == {ratio}
        assert {method.method: method.n for method in comparison.methods} == {"none": 2, "fire": 2}
    assert any("never averaged with others" in note for note in results.notes)


def test_over_an_axis_are_the_intervals_of_each_value_alone(joined: list[Path]):
    (over,) = over_axes(results_by_axis(*joined))
    alone = [results_by_axis(folder).comparisons[0] for folder in joined]
    for curve in over.curves:
        for what in ("final", "area"):
            expected = [getattr(comparison.method(curve.method), what).iqm for comparison in alone]
            assert [scores.iqm for scores in curve.scores(what) if scores] == expected


@pytest.mark.parametrize("shared", [True, False])
def test_the_page_says_whether_the_values_share_their_trunks(tmp_path: Path, shared: bool):
    for ratio in RATIOS:
        for seed in (0, 1):
            trunk = f"/trunks/{seed}" if shared else f"/trunks/{ratio}-{seed}"
            folder = tmp_path / f"ratio{ratio:g}-{seed}"
            write_run(folder, seed=seed, settings={"replay_ratio": ratio}, steps=4_000, branch_from=f"{trunk}@2000")
    page = markdown(report_of(results_by_axis(tmp_path)))
    assert ("All values share their trunks." in page) is shared
    assert ("trained with the same replay ratio." in page) is not shared


def test_a_method_that_was_not_run_at_a_value_has_no_point_there(joined: list[Path], tmp_path: Path):
    more = write_runs(tmp_path / "more", {"reset": 11.0}, replay_ratio=4.0)
    results = results_by_axis(*joined, more)
    (over,) = over_axes(results)
    reset = next(curve for curve in over.curves if curve.method == "reset")
    assert [scores is not None for scores in reset.scores("final")] == [False, True, False]
    with style(for_papers=True):
        figure = draw_axis_paper([over], looks(results.methods), "single")
    assert figure.get_size_inches()[0] == pytest.approx(3.25)
    table = markdown(report_of(results))
    assert "| reset | – | 11" in table


def test_seeds_of_different_values_are_apart_although_no_seed_has_two(tmp_path: Path):
    write_runs(tmp_path / "a", {"none": 5.0}, seeds=2, replay_ratio=1.0)
    for seed in (2, 3):
        write_run(tmp_path / f"b{seed}", seed=seed, steps=4_000, settings={"replay_ratio": 2.0})
    found = find_runs([tmp_path])
    assert [axis.name for axis in axes_of(found.runs)] == ["run.replay_ratio"]


def test_settings_of_the_evaluation_make_no_axis_of_different_seeds(tmp_path: Path):
    write_run(tmp_path / "a", seed=0, steps=4_000, eval_every=1_000)
    write_run(tmp_path / "b", seed=1, steps=4_000, eval_every=500)
    write_run(tmp_path / "c", seed=0, method="fire", steps=4_000, settings={"replay_ratio": 2.0})
    found = find_runs([tmp_path])
    assert axes_of(found.runs) == (), "methods that differ are not an axis either, but are noted"


def test_settings_of_the_agent_are_axes_and_settings_that_change_with_them_are_noted(tmp_path: Path):
    for rate, steps in ((1e-3, 100), (1e-4, 900)):
        for seed in range(2):
            run = write_run(tmp_path / f"{rate:g}-{seed}", seed=seed, steps=4_000)
            config = json.loads((run / "config.json").read_text())
            config["agent"] |= {"learning_rate": rate, "exploration_steps": steps}
            (run / "config.json").write_text(json.dumps(config))
    (axis,) = axes_of(find_runs([tmp_path]).runs)
    assert (axis.words, axis.values) == ("learning rate", ("0.0001", "0.001"))
    assert axis.following == ("agent.exploration_steps",)
    assert any("These settings change with it: exploration steps." in note for note in results_by_axis(tmp_path).notes)


def test_two_axes_are_each_drawn_at_every_value_of_the_other(tmp_path: Path):
    for ratio in (1.0, 2.0):
        for starts in (500, 1_000):
            folder = tmp_path / f"{ratio:g}-{starts}"
            write_runs(folder, {"none": ratio, "fire": 12.0}, replay_ratio=ratio, learning_starts=starts)
    results = results_by_axis(tmp_path)
    assert [axis.words for axis in results.axes] == ["replay ratio", "learning starts"]
    assert len(results.comparisons) == 4
    assert [(over.axis.words, over.where.partition(", ")[2], over.values) for over in over_axes(results)] == [
        ("replay ratio", "learning starts 500", ("1", "2")), ("replay ratio", "learning starts 1000", ("1", "2")),
        ("learning starts", "replay ratio 1", ("500", "1000")), ("learning starts", "replay ratio 2", ("500", "1000")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "places", "scale"),
    [
        (("1", "2", "4", "8"), [0, 1 / 3, 2 / 3, 1], "log"),
        (("0.0001", "0.001", "0.01"), [0, 0.5, 1], "log"),
        (("1", "2", "3"), [0, 0.5, 1], "linear"),
        (("0", "10"), [0, 1], "linear"),
        (("1", "16"), [0, 1], "log"),
        (("1", "2", "adaptive"), [0, 0.5, 1], "names"),
        (("False", "True"), [0, 1], "names"),
        (("3",), [0.5], "linear"),
    ],
)
def test_powers_of_two_have_a_logarithmic_axis(values: tuple[str, ...], places: list[float], scale: str):
    found, scaled = positions(values)
    assert found == pytest.approx(places)
    assert scaled == scale


def test_the_report_has_one_section_over_the_axis_before_the_values(joined: list[Path], tmp_path: Path):
    out = tmp_path / "out"
    assert body(["--report-only", *map(str, joined), "--dir", str(out)]) == 0
    for name in ("axis.pdf", "axis.svg", "axis.png"):
        assert (out / name).stat().st_size > 1_000
    page = (out / "report.html").read_text()
    titles = [">Over the replay ratio: dqn on MinAtar/Breakout-v1</h3>"]
    titles += [f">dqn · MinAtar/Breakout-v1, replay ratio {value}</h2>" for value in ("1", "4", "16")]
    places = [page.index(title) for title in titles]
    assert places == sorted(places)
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["replay_ratio"] for row in rows] == ["1"] * 4 + ["4"] * 4 + ["16"] * 4
    assert all((out / row["folder"]).is_dir() and not Path(row["folder"]).is_absolute() for row in rows)


def test_a_periodic_setting_is_shown_beside_the_midpoint_one(tmp_path: Path):
    midpoint = write_runs(tmp_path / "midpoint", {"none": 5.0, "fire": 8.0})
    periodic = write_runs(tmp_path / "periodic", {"none": 5.0, "fire@every=500": 9.0})
    results = results_by_axis(midpoint, periodic, labels=("fire=Midpoint", "fire@every=500=Every 500"))
    (comparison,) = results.comparisons
    assert {method.method: method.n for method in comparison.methods} == {"none": 2, "Midpoint": 2, "Every 500": 2}
    assert comparison.baseline == "none"
    assert comparison.reference == "Midpoint"
    (alone,) = results_by_axis(periodic, labels=("fire@every=500=Every 500",)).comparisons
    assert [method.method for method in alone.methods] == ["none", "Every 500"]


def test_a_schedule_stays_in_the_name_unless_the_comparison_has_it(tmp_path: Path):
    runs = write_runs(tmp_path / "runs", {"none": 5.0, "fire@every=500": 9.0, "redo@every=1000": 6.0})

    def names(*labels: str) -> list[str]:
        return [method.method for method in results_by_axis(runs, labels=labels).comparisons[0].methods]

    assert names() == ["none", "redo", "fire@every=500"]
    assert names("fire=Periodic") == ["none", "redo", "Periodic"]
    assert results_by_axis(runs).comparisons[0].reference == "fire@every=500"
    report = report_of(results_by_axis(runs), "")
    assert report.facts["Schedules"] == "redo every 1,000 updates; fire@every=500 every 500 updates"
    assert "redo every 1,000 updates; fire@every=500 every 500 updates." in latex_table(results_by_axis(runs))
    (runs / "comparison.json").write_text('{"fixed": {"reinit_every": ["0500"]}}')
    assert names() == ["none", "redo", "fire"]


def test_labels_change_names_and_no_number(tmp_path: Path):
    write_runs(tmp_path, {"none": 5.0, "redo:tau=0.1": 6.0, "fire": 8.0}, seeds=9)
    plain = results_by_axis(tmp_path).comparisons[0]
    labels = ("fire=FIRE (ours)", "redo:tau=0.1=ReDo, tau=0.1", "none=Nothing")
    named = results_by_axis(tmp_path, labels=labels)
    comparison = named.comparisons[0]
    assert [method.method for method in comparison.methods] == ["Nothing", "ReDo, tau=0.1", "FIRE (ours)"]
    assert (comparison.baseline, comparison.reference) == ("Nothing", "FIRE (ours)")
    assert [method.final for method in comparison.methods] == [method.final for method in plain.methods]
    assert [contrast.final for contrast in comparison.contrasts] == [contrast.final for contrast in plain.contrasts]
    assert looks(named.methods, named.options.spellings)["FIRE (ours)"] == looks(["fire"])["fire"]
    assert not any("redo:tau" in note or "fire" in note for note in (*named.notes, *comparison.notes))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("fira=F",), "--label 'fira=F' given; the runs have the methods fire, none; nearest is fire"),
        (("fire",), "--label 'fire' given; allowed is METHOD=NAME"),
        (("fire=",), "allowed is a name of 1 to 80 letters"),
        (("fire=a\nb",), "allowed is a name of 1 to 80 letters"),
        (("fire=" + "x" * 81,), "allowed is a name of 1 to 80 letters"),
        (("fire=none",), "fire and none would have the same name 'none'"),
        (("fire=A", "none=A"), "fire and none would have the same name 'A'"),
        (("fire=A", "fire=B"), "fire already has the name 'A'"),
    ],
)
def test_a_label_that_is_not_allowed_is_refused_in_one_line(labels: tuple[str, ...], message: str, tmp_path: Path):
    write_runs(tmp_path, {"none": 5.0, "fire": 8.0}, seeds=1)
    with pytest.raises(ValueError, match=message) as caught:
        results_by_axis(tmp_path, labels=labels)
    assert "\n" not in str(caught.value)


def test_labels_may_be_given_one_by_one_or_together(tmp_path: Path):
    write_runs(tmp_path / "runs", {"none": 5.0, "fire": 8.0}, seeds=1)
    words = ["--report-only", str(tmp_path / "runs"), "--dir", str(tmp_path / "out"), "--figure-width", "single"]
    assert body([*words, "--label", "fire=FIRE (ours)", "--label=none=No reset"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "FIRE (ours)" in page
    assert "No reset" in page
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open()))
    assert [(row["method"], row["label"]) for row in rows] == [("none", "No reset"), ("fire", "FIRE (ours)")]


def test_no_two_columns_have_the_same_name(tmp_path: Path):
    for steps in (4_000, 8_000):
        write_run(tmp_path / f"runs/{steps}", steps=steps)
    path = write_scores(results_by_axis(tmp_path / "runs"), tmp_path / "scores.csv")
    rows = list(csv.DictReader(path.open()))
    assert [(row["axis_steps"], row["steps"]) for row in rows] == [("4000", "4000"), ("8000", "8000")]
    header = path.read_text().splitlines()[0].split(",")
    assert len(header) == len(set(header))
