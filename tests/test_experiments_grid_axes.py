"""Flags with several values: every combination is planned, and a folder may grow."""

import json
from pathlib import Path
from typing import Any

import pytest

from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.kept import read_kept
from fire_rl.experiments.sweep.grid import Grid
from fire_rl.experiments.sweep.kept_settings import check_kept, keep
from fire_rl.experiments.sweep.plan import plan
from tests.fixtures.planned import CARTPOLE, jobs_of


def test_a_flag_with_several_values_is_an_axis_and_each_value_has_trunks_of_its_own():
    words = ("--env", "h1-walk", "--seeds", "0-1", "--reinit", "none", "fire", "--branch-at", "0.5")
    jobs = jobs_of(*words, "--replay-ratio", "1", "4.0")
    assert len(jobs) == 2 * len(jobs_of(*words)) == 12
    assert [job.name for job in jobs if job.seed == 0] == [
        "h1-walk-trunk-replay-ratio=1-seed0", "h1-walk-trunk-replay-ratio=4-seed0",
        "h1-walk-none-replay-ratio=1-seed0", "h1-walk-fire-replay-ratio=1-seed0",
        "h1-walk-none-replay-ratio=4-seed0", "h1-walk-fire-replay-ratio=4-seed0",
    ]  # fmt: skip
    for job in jobs:
        if job.trunk:
            assert f"replay-ratio={job.place['replay_ratio']}" in job.trunk.name
        else:
            assert f"--replay-ratio {job.place['replay_ratio']}" in job.command.replace("4.0", "4")
    updates = {job.place["replay_ratio"]: job.updates for job in jobs if job.trunk}
    assert updates["4"] == 4 * updates["1"]


def test_several_axes_are_every_combination_of_their_values():
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "none")
    jobs = jobs_of(*words, "--learning-rate", "1e-4", "0.0003", "--replay-ratio", "2", "adaptive")
    assert [job.place for job in jobs] == [
        {"learning_rate": rate, "replay_ratio": ratio} for rate in ("0.0001", "0.0003") for ratio in ("2", "adaptive")
    ]
    assert jobs[1].name == "h1-walk-none-learning-rate=0.0001-replay-ratio=adaptive-seed0"
    assert all("--learning-rate" in job.command for job in jobs)


def test_settings_computed_from_the_length_of_a_run_follow_an_axis_of_lengths():
    words = [word for word in CARTPOLE if word not in ("--steps", "1200")]
    jobs = jobs_of(*words, "--seeds", "0", "--reinit", "none", "--branch-at", "0.5", "--steps", "1000", "2000")
    assert [job.stop for job in jobs] == [500, 1000, 1000, 2000]
    assert [job.arguments[job.arguments.index("--exploration-steps") + 1] for job in jobs[:2]] == ["100", "200"]


def test_methods_may_have_schedules_of_their_own():
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "none", "fire", "fire@every=5000", "--branch-at", "0.5")
    _, _, once, periodic = jobs_of(*words)
    assert "--reinit-every" not in once.command
    assert "--reinit fire --reinit-every 5000 --run-dir" in periodic.command
    assert periodic.name == "h1-walk-fire_every=5000-seed0"
    made = jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit", "none", "fire", "--reinit-every", "5000", "9000")
    assert [job.method for job in made] == ["none", "fire@every=5000", "fire@every=9000"]
    (several,) = jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit", "fire+l2-init@at=30000,at=60000")
    assert "--reinit fire --regularize l2-init --reinit-at 30000 60000" in several.command


def test_methods_that_act_at_other_times_are_not_the_same():
    words = ["fire", "fire@at=9001", "fire@at=9003", "fire@every=9", "fire@when=dormant>0.5", "fire@when=dormant<0.5"]
    words += ["redo", "redo@at=9001"]
    assert len(jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit", *words)) == len(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replay-ratio", "1", "much"], "--replay-ratio 'much' given; allowed is a number or adaptive"),
        (["--replay-ratio", "1", "-2"], "--replay-ratio -2.0 given; allowed is a number above 0"),
        (["--replay-ratio", "1", "1.0"], "--replay-ratio '1 1.0' given; 1.0 is given twice: 1 is the same"),
        (["--replay-ratio", "2", "adaptive", "adaptive"], "adaptive is given twice"),
        (["--batch-size", "8", "0"], "--batch-size 0 given"),
        (["--device", "cpu", "cuda"], "--device 'cpu cuda' given; it takes one value, as it changes no result"),
        (["--log-every", "10", "20"], "--log-every '10 20' given; it takes one value, as it changes no result"),
        (["--preset", "quick", "paper"], "--preset 'quick paper' given; it takes one value"),
        (["--reinit-cooldown", "1", "2"], "--reinit-cooldown '1 2' given; it takes one value"),
        (
            ["--reinit", "none", "--reinit-every", "1", "2"],
            "--reinit-every given, but none of the methods has events: none",
        ),
        (["--reinit", "fire", "fire@at=500000"], "'fire@at=500000' given twice: it does the same as 'fire'"),
        (["--reinit", "fire@at=9000", "fire@at=09000"], "'fire@at=9000' given twice"),
        (
            ["--reinit", "fire@at=9001", "fire@at=9002"],
            "'fire@at=9002' given twice",
        ),  # one decision contains both steps
        (["--reinit", "fire@at=9,at=99", "fire@at=99,at=9"], "given twice"),
        (["--reinit", "redo", "redo@every=1000", "--branch-at", "0.5"], "'redo@every=1000' given twice"),
        (["--reinit", "fire@every=70", "fire", "--reinit-every", "70"], "'fire' given twice"),
        (["--reinit", "redo:tau=0.1", "redo:tau=0.10"], "given twice"),
        (["--reinit", "fire@when=nonsense>0.25"], "measure 'nonsense' is unknown.*nearest is"),
        (["--reinit", "fire", "--reinit-when", "dormat>0.25"], "measure 'dormat' is unknown.*nearest is dormant"),
        (["--reinit", "none@every=5"], "none has no events, so it takes no schedule"),
        (["--reinit", "fire@often"], "'fire@often' given; allowed after @ are every=UPDATES"),
        (["--reinit", "fire@every=soon"], "--reinit 'fire@every=soon' given: every='soon' given; allowed is a whole"),
        (["--reinit", "fire@every=0"], "--reinit 'fire@every=0' given: every=0 given"),
        (["--reinit", "fire@at=9", "--branch-at", "0.5"], "--reinit-at 9 given; the methods' branches begin at"),
        (["--steps", "1000", "3", "--branch-at", "0.9"], "too close to the beginning or the end of the run"),
        (["--replay-ratio", *map(str, range(1, 2_600))], "runs would be made; allowed are 10,000"),
    ],
)
def test_a_wrong_axis_is_refused_in_one_line(words: list[str], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        jobs_of("--env", "h1-walk", "--seeds", "0", *words)
    assert "\n" not in str(caught.value)


def asked(folder: Path, *words: str) -> Grid:
    options, passed = read_options(["--agent", "dqn", "--env", "CartPole-v1", *words, "--dir", str(folder)])
    return make_grid(options, passed)


def test_the_request_of_a_folder_grows_with_the_values_of_its_axes(tmp_path: Path):
    keep(asked(tmp_path, "--replay-ratio", "2"))
    more = asked(tmp_path, "--replay-ratio", "1", "2", "--learning-rate", "1e-3", "1e-4")
    check_kept(more)
    keep(more)
    kept: Any = read_kept(tmp_path)
    assert kept.axes["replay_ratio"] == ("2", "1")
    assert {"0.001", "0.0001"} <= set(kept.axes["learning_rate"])
    assert kept.home["replay_ratio"] == "2"
    assert "replay-ratio=1-learning-rate=0.001" in kept.places
    again = asked(tmp_path, "--replay-ratio", "8", "--learning-rate", "1e-4")
    check_kept(again)
    assert plan(again)[0].name == "CartPole-v1-none-replay-ratio=8-learning-rate=0.0001-seed0"
    with pytest.raises(
        ValueError, match=r"holds runs with --learning-rate .*: give --learning-rate with the values to run"
    ):
        asked(tmp_path, "--replay-ratio", "8")
    with pytest.raises(ValueError, match="holds runs with --gamma"):
        check_kept(asked(tmp_path, "--replay-ratio", "8", "--learning-rate", "1e-4", "--gamma", "0.5"))


def test_lengths_of_a_folder_may_be_added_one_at_a_time(tmp_path: Path):
    keep(asked(tmp_path, "--steps", "1000", "2000"))
    kept: Any = read_kept(tmp_path)
    assert "exploration_steps" in kept.following
    check_kept(asked(tmp_path, "--steps", "4000"))


def test_a_folder_of_an_older_version_can_be_continued(tmp_path: Path):
    """It has no axes, and lacks settings that did not exist then."""
    grid = asked(tmp_path, "--reinit", "none", "fire")
    keep(grid)
    kept = json.loads((tmp_path / "comparison.json").read_text())
    del kept["axes"], kept["following"], kept["fixed"]["n_steps"]
    (tmp_path / "comparison.json").write_text(json.dumps(kept))
    check_kept(grid)
    check_kept(asked(tmp_path, "--replay-ratio", "1", "2"))
    with pytest.raises(ValueError, match="holds runs with --n-steps 1, but 3 is given"):
        check_kept(asked(tmp_path, "--n-steps", "3"))
