"""The history that a run draws is bounded, is restored when the run is resumed, and does not trust the file."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from fire_rl.training import lines as metrics_lines
from fire_rl.training.curve import draw_curve, draw_events, draw_measures
from fire_rl.training.files import METRICS
from fire_rl.training.history import MOST_EPISODES, MOST_NETWORKS, MOST_POINTS, PANELS, Events, History, Series
from fire_rl.training.lines import EvaluationLine, Reader, Rhythm, final_score

Line = dict[str, Any]


def episode(step: int, value: float | None) -> Line:
    return {"kind": "episode", "decisions": step, "environment_steps": step, "return": value, "length": 5}


def evaluation(step: int, *returns: float | None) -> Line:
    mean = None if None in returns else sum(returns) / len(returns)
    return {"kind": "evaluation", "environment_steps": step, "return": mean, "returns": list(returns)}


def event(step: int, method: str = "redo") -> Line:
    return {"kind": "event", "environment_steps": step, "method": method, "networks": []}


def measures(step: int, **values: float | None) -> Line:
    named = {f"{network}/{name}": values.get(name, 0.5) for network in ("actor", "critic") for name, _, _ in PANELS}
    return {"kind": "measures", "environment_steps": step, **named, "critic/weight_norm/encoder.weight": 1.0}


def written(folder: Path, lines: list[Line | str]) -> Path:
    """Write a run's folder with these lines."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / METRICS).write_text(text)
    return folder


def final_of(run: Path) -> tuple[float, int] | None:
    evaluations = [line for _, line in Reader().of(run) if isinstance(line, EvaluationLine)]
    return final_score([(line.steps, line.value, line.occasion) for line in evaluations])


def of(lines: list[Line]) -> History:
    history = History(Reader())
    for line in lines:
        history.add(Reader().typed(line))
    return history


def content(history: History) -> str:
    networks = {name: series.points() for name, series in history.measures.items()}
    events = (history.events.count, history.events.method, history.events.steps())
    return repr((history.episodes.points(), history.evaluations.points(), networks, events))


@given(st.integers(0, 300), st.sampled_from([2, 4, 10, 64]))
def test_a_series_keeps_points_at_equal_distances_and_the_newest(count: int, most: int):
    series: Series[int] = Series(most)
    for point in range(count):
        series.add(point)
        assert series.points()[0] == 0
        assert series.points()[-1] == point
        assert len(series.points()) <= most + 1
    distances = set(np.diff(series.points()[:-1]).tolist())
    assert len(distances) <= 1
    if count <= most:
        assert series.points() == list(range(count))
    else:
        assert len(series.points()) > most // 2


@given(st.lists(st.integers(0, 10**7), max_size=300))
@settings(deadline=None)
def test_events_are_counted_exactly_and_each_has_a_tick_nearby(steps: list[int]):
    events = Events(most=20)
    for step in sorted(steps):
        events.add(step, "redo")
    ticks = events.steps()
    assert events.count == len(steps)
    assert len(ticks) <= 20
    assert set(ticks) <= set(steps)
    if len(set(steps)) <= 20:
        assert sorted(ticks) == sorted(set(steps))
    else:
        span = max(steps) - min(steps)
        assert max(min(abs(step - tick) for tick in ticks) for step in steps) <= span / 5


def test_a_long_run_holds_as_many_points_as_a_picture_can_show():
    lines = [line for step in range(20_000) for line in (episode(step, 1.0), event(step), measures(step))]
    history = of(lines)
    assert history.events.count == 20_000
    assert len(history.episodes.points()) <= MOST_EPISODES + 1
    assert history.episodes.points()[-1][0] == 19_999
    for series in history.measures.values():
        assert len(series.points()) <= MOST_POINTS + 1
        assert series.points()[-1][0] == 19_999
    assert len(history.events.steps()) <= MOST_POINTS


def test_only_a_limited_number_of_networks_is_kept():
    history = of(
        [{"kind": "measures", "environment_steps": 1, **{f"n{number}/weight_norm": 1.0 for number in range(99)}}]
    )
    assert len(history.measures) == MOST_NETWORKS


def test_a_resumed_run_has_the_history_of_an_uninterrupted_one(tmp_path: Path):
    lines = [
        line
        for step in range(0, 90_000, 10)
        for line in (
            episode(step, step / 3),
            {"kind": "train", "environment_steps": step},
            *([evaluation(step, 0.1, 0.7, step / 7), measures(step, dormant=None)] if step % 90 == 0 else []),
            event(step),
        )
    ]
    resumed = History.read(written(tmp_path, list(lines[:20_000])), Reader())
    for line in lines[20_000:]:
        resumed.add(Reader().typed(line))
    assert content(resumed) == content(of(lines))


def test_a_number_that_is_not_finite_is_the_same_before_and_after_it_was_written(tmp_path: Path):
    live = of([episode(1, math.nan), episode(2, math.inf), evaluation(3, math.nan), measures(4, deviation=math.inf)])
    lines = [episode(1, None), episode(2, None), evaluation(3, None), measures(4, deviation=None)]
    assert content(History.read(written(tmp_path, list(lines)), Reader())) == content(live)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_quartiles_are_numpys(returns: list[float]):
    ((_, mean, low, high),) = of([evaluation(1, *returns)]).evaluations.points()
    wanted = [np.mean(returns), *np.quantile(returns, (0.25, 0.75))]
    np.testing.assert_allclose([mean, low, high], wanted, rtol=1e-9, atol=1e-6)


GOOD = [episode(1, 2.0), evaluation(2, 3.0, 5.0), event(3), measures(4)]
UNLIKE_NUMBERS: list[Any] = ["5", True, [1.0], {}]
BAD: list[Line | str] = [
    "",
    "{",
    "[1, 2]",
    "null",
    "[" * 100_000,
    '{"kind": "episode", "environment_steps": ' + "9" * 5_000 + "}",
    {"kind": ["episode"]},
    {"kind": "episode"},
    {"kind": "episode", "environment_steps": 5},
    {"kind": "event", "environment_steps": 5},
    {"kind": "evaluation", "environment_steps": 5},
    evaluation(5, 1.0) | {"return": "x", "returns": []},
    evaluation(5, 1.0) | {"return": "x", "returns": [[]]},
    evaluation(5, 1.0) | {"return": "x", "returns": 5},
    event(5) | {"method": 5},
    measures(5) | {"critic/dormant": "x", "actor/dormant": "x"},
    *(episode(5, 1.0) | {"environment_steps": step} for step in (None, "5", -1, 2**53 + 1, 2**63, True, 5.0, [5])),
    *(episode(5, 1.0) | {"return": value} for value in UNLIKE_NUMBERS),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: json.dumps(bad)[:60])
def test_lines_that_were_not_written_here_are_skipped(bad: Line | str, tmp_path: Path):
    run = written(tmp_path, [*GOOD, bad, *GOOD])
    assert content(History.read(run, Reader())) == content(of(GOOD + GOOD))
    assert final_of(run) == (4.0, 1)  # one value of each step


def test_bytes_that_are_not_text_are_skipped(tmp_path: Path):
    run = written(tmp_path, list(GOOD))
    path = run / METRICS
    path.write_bytes(b"\xff\x00\n" + path.read_bytes() + b'{"kind": "episode", "environment_steps": 9, "ret')
    assert content(History.read(run, Reader())) == content(of(GOOD))


def test_a_line_longer_than_a_run_writes_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics_lines, "LINE_BYTES", 2_000)
    long = event(5) | {"networks": "x" * 9_000}
    run = written(tmp_path, [*GOOD, long, *GOOD])
    assert content(History.read(run, Reader())) == content(of(GOOD + GOOD))


def test_a_run_without_metrics_has_no_history(tmp_path: Path):
    assert content(History.read(tmp_path, Reader())) == content(History(Reader()))
    assert final_of(tmp_path) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.none() | st.floats(-1e3, 1e3)), max_size=60, unique_by=lambda pair: pair[0]
    )
)
@settings(deadline=None)
def test_the_final_return_is_the_mean_over_the_last_tenth(tmp_path_factory: Any, pairs: list[tuple[int, Any]]):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    run = written(tmp_path_factory.mktemp("run"), [evaluation(step, value) for step, value in pairs])
    last = pairs[-1][0] if pairs else 0
    returns = [value for step, value in pairs if step >= 0.9 * last and value is not None]
    found: Any = final_of(run)
    if returns:
        assert found[0] == pytest.approx(sum(returns) / len(returns))
        assert found[1] == len(returns)
    else:
        assert found is None


def test_evaluations_around_events_do_not_count_and_a_dip_counts_once_for_each_scheduled_one():
    without = [(step, 10.0, "scheduled") for step in range(0, 10_001, 250)]
    rhythm = Rhythm(every=250, unit=1)
    assert final_score(without, rhythm) == (10.0, 5)
    between = sorted([*without, (9_100, 10.0, "before event"), (9_100, 0.0, "after event")], key=lambda each: each[0])
    assert final_score(between, rhythm) == (10.0, 5)  # with all evaluations it would be 60 / 7
    dips = [(step, 4.0 if step == 9_250 else value, occasion) for step, value, occasion in between]
    assert final_score(dips, rhythm) == (8.8, 5)  # a loss that remains at a scheduled one counts


def test_an_event_on_a_scheduled_evaluation_counts_with_the_value_before_it():
    on_it = [(8_000, 9.0, "scheduled"), (9_000, 10.0, "before event"), (9_000, 0.0, "after event"),
             (10_000, 12.0, "scheduled")]  # fmt: skip
    assert final_score(on_it, Rhythm(1_000, 4)) == (11.0, 2)
    in_the_decision_before = [(8_996, 10.0, "before event"), (8_996, 0.0, "after event"), (9_000, 1.0, "scheduled"),
                              (10_000, 12.0, "scheduled")]  # fmt: skip
    assert final_score(in_the_decision_before, Rhythm(1_000, 4)) == (11.0, 2)
    assert final_score(in_the_decision_before, Rhythm(1_000, 2)) == (6.5, 2)
    right_after_it = [(9_000, 10.0, "scheduled"), (9_000, 9.0, "before event"), (9_000, 0.0, "after event"),
                      (10_000, 12.0, "scheduled")]  # fmt: skip
    assert final_score(right_after_it, Rhythm(1_000, 4)) == (11.0, 2)


def test_a_late_branch_is_not_judged_by_its_trunk():
    evaluations = [(9_000, 1.0, "scheduled"), (9_500, 1.0, "scheduled"), (9_600, 1.0, "before event"),
                   (9_600, 0.0, "after event"), (10_000, 5.0, "scheduled")]  # fmt: skip
    assert final_score(evaluations, Rhythm(500, 1, branch=9_600)) == (5.0, 1)
    assert final_score(evaluations, Rhythm(500, 1, branch=10_000)) is None


def labels_of(events: Events) -> list[str]:
    axes = Figure().subplots()
    draw_events(axes, events)
    return [line.get_label() for line in axes.lines]  # type: ignore[misc]


def test_few_events_are_lines_and_many_are_ticks_with_their_number():
    few, many = Events(), Events()
    few.add(5, "fire")
    for step in range(30_000):
        many.add(step, "redo:tau=0.1")
    assert labels_of(Events()) == []
    assert labels_of(few) == ["event: fire"]
    assert labels_of(many) == ["30,000 events: redo:tau=0.1"]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [event(5)],
        [episode(5, None), evaluation(5, None), measures(5, **{name: None for name, _, _ in PANELS})],
        [episode(1, 1e99), episode(2, 1e-300), episode(2**53, 1e300), measures(1, deviation=1e-300)],
        [evaluation(step, -1e99, 1e99) for step in range(3)] + [measures(step, deviation=1e99) for step in range(3)],
        [measures(1), {key: value for key, value in measures(2).items() if "actor" not in key}],
        [event(step) for step in range(50)] + [measures(step) for step in range(50)],
    ],
)
def test_pictures_are_drawn_of_everything_that_is_kept(lines: list[Line], tmp_path: Path):
    history = of(lines)
    draw_curve(history, tmp_path, "a run")
    assert Image.open(tmp_path / "curve.png").size == (1040, 585)
    drawn = draw_measures(history, tmp_path, "a run")
    assert drawn == (tmp_path / "measures.png" if history.measures else None)
    assert drawn is None or Image.open(drawn).size == (1430, 715)
