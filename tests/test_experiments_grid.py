"""A comparison's runs are ordinary command lines; with a shared trunk they are the same runs, for less work."""

import contextlib
import io
import json
import time
from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.compare import make_grid, parse_seeds
from fire_rl.commands.compare_options import read_options
from fire_rl.commands.train import train_dqn
from fire_rl.experiments.kept import read_kept
from fire_rl.experiments.sweep.grid import TRUNK, Grid, Job
from fire_rl.experiments.sweep.kept_settings import check_kept, keep
from fire_rl.experiments.sweep.plan import plan
from fire_rl.experiments.sweep.tracked import require_tracker

CARTPOLE = (
    *("--agent", "dqn", "--env", "CartPole-v1", "--preset", "quick", "--steps", "1200", "--learning-starts", "100"),
    *("--hidden-width", "8", "--eval-every", "600", "--eval-episodes", "2", "--log-every", "200"),
    *("--checkpoint-every", "600", "--device", "cpu", "--measure-every", "0"),
)


def jobs_of(*words: str, folder: Path = Path("runs/c")) -> tuple[Job, ...]:
    options, passed = read_options([*words, "--dir", str(folder)])
    return plan(make_grid(options, passed))


def train(job: Job) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        assert train_dqn(job.arguments) == 0, output.getvalue()


def test_without_a_branch_point_there_is_a_run_for_each_method_seed_and_environment():
    jobs = jobs_of("--env", "h1-walk", "h1-run", "--reinit", "none", "fire", "--seeds", "0-2", "--preset", "quick")
    assert len(jobs) == len({job.folder for job in jobs}) == 12
    assert {(job.start, job.stop, job.trunk) for job in jobs} == {(0, 30_000, None)}
    assert jobs[1].command == (
        "python train_sac.py --preset quick --env h1-walk --seed 0 --threads 1 --reinit fire "
        "--run-dir runs/c/h1-walk-fire-seed0"
    )


def test_trunks_spare_work():
    words = ("--env", "h1-walk", "--seeds", "0-4", "--reinit", "none", "reset", "shrink-perturb", "redo", "fire")
    branched = jobs_of(*words, "--branch-at", "0.5")
    assert len(branched) == 5 + 25
    work = sum(job.stop - job.start for job in branched)
    assert work == (1 + 5) / 2 * 5 * 1_000_000
    assert sum(job.updates for job in branched) < sum(job.updates for job in jobs_of(*words)) * 0.61
    assert all(job.trunk == Path(f"runs/c/h1-walk-trunk-seed{job.seed}") for job in branched[5:])


def test_a_branch_point_is_where_a_decision_begins():
    trunk = jobs_of("--env", "h1-walk", "--steps", "1002", "--branch-at", "0.5", "--seeds", "0")[0]
    assert (trunk.stop, trunk.method) == (502, TRUNK)  # two environment steps a decision


def test_a_trunk_and_its_branch_without_a_method_are_the_whole_run(tmp_path: Path):
    words = (*CARTPOLE, "--reinit", "none", "--seeds", "3")
    (whole,) = jobs_of(*words, folder=tmp_path / "whole")
    trunk, branch = jobs_of(*words, "--branch-at", "0.5", folder=tmp_path / "branched")
    assert "--exploration-steps 120 " in " ".join(trunk.arguments)  # of 1200 steps, not of 600
    for job in (whole, trunk, branch):
        train(job)
    assert differences(whole.folder, branch.folder) == []


def test_a_schedule_goes_to_the_methods_that_have_events():
    jobs = jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit", "none", "fire", "cbp", "--reinit-every", "5000")
    assert ["--reinit-every" in job.arguments for job in jobs] == [False, True, False]
    branched = jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit-every", "5000", "--branch-at", "0.5")
    assert ["--reinit-every" in job.arguments for job in branched] == [False, False, True, True, True]


def test_a_method_brings_its_regularizers_and_its_options():
    (job,) = jobs_of("--env", "h1-walk", "--seeds", "0", "--reinit", "fire:solver=exact+l2-init:strength=1e-4+parseval")
    assert job.command.split(" --reinit ")[1].startswith(
        "fire:solver=exact --regularize l2-init:strength=1e-4 parseval --run-dir"
    )
    assert job.folder.name == "h1-walk-fire_solver=exact+l2-init_strength=1e-4+parseval-seed0"


def test_regularizers_of_all_runs_stay_beside_those_of_a_method():
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "none+parseval", "--regularize", "l2-init")
    trunk, branch = jobs_of(*words, "--branch-at", "0.5")
    assert "--regularize l2-init" in trunk.command
    assert "--regularize l2-init parseval" in branch.command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reinit", "fira"], "method 'fira' is unknown.*nearest is fire"),
        (["--reinit", "l2-init"], "regularizer"),
        (["--reinit", "none+fire"], "regularizer 'fire' is a method"),
        (["--reinit", "fire", "fire"], "given twice"),
        (["--seeds", "4-0"], "--seeds '4-0' given; allowed are ranges"),
        (["--seeds", "1", "0-2"], "given twice"),
        (["--seed", "4"], "--seed given; did you mean --seeds"),
        (["--branch-at", "1.5"], "--branch-at 1.5 given"),
        (["--branch-at", "nan"], "--branch-at nan given"),
        (
            ["--branch-at", "0.5", "--reinit-at", "9", "--reinit", "fire"],
            "--reinit-at 9 given; the methods' branches begin at",
        ),
        (["--branch-at", "half"], "--branch-at 'half' given; allowed is a number"),
        (["--reply-ratio", "4"], "unknown flag --reply-ratio; did you mean --replay-ratio"),
        (["--replay-ratio", "much"], "--replay-ratio 'much' given"),
        (["--preset", "quik"], "--preset 'quik' given.*did you mean quick"),
        (["--run-dir", "x"], "--run-dir given; compare.py sets it for each run"),
        (["--threads", "0"], "--threads 0"),
        (["--threads", "5000"], "--threads 5000 given; allowed is 1 to 4,096"),
        (["--jobs", "99999999999"], "--jobs 99999999999 given"),
        (["--seeds", "0-9999999999"], "--seeds '0-9999999999' given, 10,000,000,000 seeds; allowed are 10,000 runs"),
        (["--seeds", "0-" + "9" * 5_000], "--seeds '0-9{78}' given; allowed are ranges"),
        (["--seeds", "0-4999"], "20,000 runs would be made; allowed are 10,000"),
        (["--threshold", "nan"], "--threshold nan given"),
        (["--threshold", "inf"], "--threshold inf given"),
        (["--branch-at", "inf"], "--branch-at inf given"),
        (["--reinit", "none+" + "l2-init:strength=0." + "0" * 300 + "1"], "a folder would have a name of 3.. bytes"),
        (["--ray", "--gpus-per-run", "nan"], "--gpus-per-run nan given"),
        (["--agent", "ppo"], "--agent 'ppo' given; allowed is one of sac, dqn"),
    ],
)
def test_what_cannot_be_planned_ends_in_one_line(words: list[str], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        jobs_of(*words)
    assert "\n" not in str(caught.value)


OWN = """
from dataclasses import dataclass
from fire_rl.fire import REGULARIZERS, Reset

@dataclass(frozen=True)
class Mine(Reset):
    "A method of one's own."

@dataclass(frozen=True)
class Gentle(REGULARIZERS["l2-init"]):
    "A regularizer of one's own."
"""


def test_what_continues_a_run_names_the_code_of_ones_own_and_nothing_else(tmp_path: Path, monkeypatch):
    (tmp_path / "own_words.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    mine, gentle = "own_words:Mine", "own_words:Gentle"
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "fire:solver=exact+l2-init", mine, f"none+{gentle}")
    jobs = jobs_of(*words)
    assert [job.resumed_with for job in jobs] == [(), ("--reinit", mine), ("--regularize", gentle)]
    trunk, built_in, *_ = jobs_of(*words, "--regularize", gentle, "parseval", "--branch-at", "0.5")
    assert trunk.resumed_with == ("--regularize", gentle, "parseval"), "all of them, as they are the run's own"
    assert built_in.resumed_with == ("--regularize", gentle, "parseval", "l2-init")
    assert f"--regularize {gentle} parseval l2-init" in built_in.command, "a branch names its trunk's, too"


def test_an_environment_of_ones_own_is_named_by_branches_and_when_runs_continue():
    env = "tests.fixtures.another_pendulum:AnotherPendulum-v0"
    trunk, branch = jobs_of("--env", env, "--reinit", "none", "--seeds", "0", "--branch-at", "0.5")
    assert trunk.resumed_with == branch.resumed_with == ("--env", env)
    assert f"--env {env}" in branch.command
    assert (
        "--env" not in jobs_of("--env", "h1-walk", "--reinit", "none", "--seeds", "0", "--branch-at", "0.5")[1].command
    )


def test_a_run_of_ones_own_method_continues_where_its_command_line_names_it(tmp_path: Path, monkeypatch):
    (tmp_path / "own_words_again.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (job,) = jobs_of(*CARTPOLE, "--reinit", "own_words_again:Mine", "--seeds", "3", folder=tmp_path / "c")
    train(job)
    longer = ("--resume", str(job.folder), "--steps", "1800")
    with pytest.raises(ValueError, match="names code outside fire-rl"):
        train_dqn(longer)
    assert train_dqn((*longer, *job.resumed_with)) == 0


def test_of_a_flag_given_twice_the_last_counts_and_it_is_said(capsys: pytest.CaptureFixture[str]):
    words = ("--env", "h1-walk", "--reinit", "none", "--seeds", "0-9", "--preset", "quick", "--seeds", "3")
    (job,) = jobs_of(*words, "--preset", "paper")
    assert (job.seed, job.stop) == (3, 1_000_000)
    said = capsys.readouterr().err
    for name in ("--seeds", "--preset"):
        assert f"{name} given twice" in said


def test_trunks_keep_the_replay_that_branches_begin_with():
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "none", "--keep-replay", "False")
    trunk, branch = jobs_of(*words, "--branch-at", "0.5")
    assert "--keep-replay" not in trunk.command
    assert "--keep-replay False" in branch.command
    assert (trunk.resumed_with, branch.resumed_with) == ((), ("--keep-replay", "False"))
    (whole,) = jobs_of(*words)
    assert "--keep-replay False" in whole.command


def test_a_grid_of_ten_thousand_runs_is_planned_in_seconds():
    begin = time.process_time()
    assert len(jobs_of("--env", "h1-walk", "--reinit", "none", "fire", "--seeds", "0-4999")) == 10_000
    assert time.process_time() - begin < 20


def test_seeds_are_ranges_or_lists():
    assert parse_seeds(["0-4"]) == (0, 1, 2, 3, 4)
    assert parse_seeds(["0", "2,5", "7-8"]) == (0, 2, 5, 7, 8)


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


def test_what_a_run_computes_from_its_length_follows_an_axis_of_lengths():
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
    words = ("fire", "fire@at=9001", "fire@at=9003", "fire@every=9", "fire@when=dormant>0.5", "redo", "redo@at=9001")
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
        (["--reinit", "fire@at=9001", "fire@at=9002"], "'fire@at=9002' given twice"),  # one decision has both steps
        (["--reinit", "fire@at=9,at=99", "fire@at=99,at=9"], "given twice"),
        (["--reinit", "redo", "redo@every=1000", "--branch-at", "0.5"], "'redo@every=1000' given twice"),
        (["--reinit", "fire@every=70", "fire", "--reinit-every", "70"], "'fire' given twice"),
        (["--reinit", "redo:tau=0.1", "redo:tau=0.10"], "given twice"),
        (["--reinit", "fire@when=nonsense>0.25"], "measure 'nonsense' is unknown.*nearest is"),
        (["--reinit", "fire", "--reinit-when", "dormat>0.25"], "measure 'dormat' is unknown.*nearest is dormant"),
        (["--reinit", "none@every=5"], "none has no events, so it takes no schedule"),
        (["--reinit", "fire@often"], "'fire@often' given; allowed after @ are every=UPDATES"),
        (["--reinit", "fire@every=soon"], "--reinit-every 'soon' given; allowed is a whole number"),
        (["--reinit", "fire@every=0"], "--reinit-every 0 given"),
        (["--reinit", "fire@at=9", "--branch-at", "0.5"], "--reinit-at 9 given; the methods' branches begin at"),
        (["--steps", "1000", "3", "--branch-at", "0.9"], "too close to the beginning or the end of the run"),
        (["--replay-ratio", *map(str, range(1, 2_600))], "runs would be made; allowed are 10,000"),
    ],
)
def test_an_axis_that_cannot_be_ends_in_one_line(words: list[str], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        jobs_of("--env", "h1-walk", "--seeds", "0", *words)
    assert "\n" not in str(caught.value)


def asked(folder: Path, *words: str) -> Grid:
    options, passed = read_options(["--agent", "dqn", "--env", "CartPole-v1", *words, "--dir", str(folder)])
    return make_grid(options, passed)


def test_what_a_folder_was_asked_for_grows_with_the_values_of_its_axes(tmp_path: Path):
    keep(asked(tmp_path, "--replay-ratio", "2"))
    more = asked(tmp_path, "--replay-ratio", "1", "2", "--learning-rate", "1e-3", "1e-4")
    check_kept(more)
    keep(more)
    kept = read_kept(tmp_path)
    assert kept is not None
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
    kept = read_kept(tmp_path)
    assert kept is not None
    assert "exploration_steps" in kept.following
    check_kept(asked(tmp_path, "--steps", "4000"))


def test_a_folder_of_an_older_version_goes_on(tmp_path: Path):
    """It has no axes, and lacks the settings that were not there then."""
    grid = asked(tmp_path, "--reinit", "none", "fire")
    keep(grid)
    kept = json.loads((tmp_path / "comparison.json").read_text())
    del kept["axes"], kept["following"], kept["fixed"]["n_steps"]
    (tmp_path / "comparison.json").write_text(json.dumps(kept))
    check_kept(grid)
    check_kept(asked(tmp_path, "--replay-ratio", "1", "2"))
    with pytest.raises(ValueError, match="holds runs with --n-steps 1, but 3 is given"):
        check_kept(asked(tmp_path, "--n-steps", "3"))


def test_tracked_runs_are_one_group_with_trunks_and_branches_told_apart():
    given = (*CARTPOLE, "--seeds", "0", "--track", "wandb", "mlflow", "--track-tags", "pilot")
    group = "--track-group sweep --track wandb mlflow --track-tags pilot"
    folder = Path("runs/sweep")
    jobs = jobs_of(*given, "--branch-at", "0.5", "--reinit", "none", "fire", folder=folder)
    assert [job.method for job in jobs] == [TRUNK, "none", "fire"]
    for job, kind in zip(jobs, ("trunk", "branch", "branch"), strict=True):
        assert f"{group} {kind} --run-dir" in " ".join(job.arguments)
        assert " ".join(job.resumed_with) == f"{group} {kind}", "also of runs that began before it was given"
    (alone,) = jobs_of(*given, "--reinit", "none", folder=folder)
    assert f"{group} --run-dir" in " ".join(alone.arguments)
    (named,) = jobs_of(*given, "--reinit", "none", "--track-group", "mine", folder=folder)
    assert "--track-group mine" in " ".join(named.arguments)
    assert "sweep " not in " ".join(named.arguments)


def test_trunks_and_branches_are_told_apart_without_trackers_too():
    trunk, branch = jobs_of(*CARTPOLE, "--seeds", "0", "--branch-at", "0.5", "--reinit", "none")
    assert "--track-tags trunk --run-dir" in " ".join(trunk.arguments)
    assert "--track" not in " ".join((*trunk.resumed_with, *branch.arguments, *branch.resumed_with))


def test_how_to_track_without_where_is_refused():
    with pytest.raises(ValueError, match="--track-group given without --track, so there is no tracker"):
        require_tracker((("--track-group", ("mine",)),))


def test_runs_that_are_not_tracked_are_told_nothing_of_it():
    (job,) = jobs_of(*CARTPOLE, "--seeds", "0", "--reinit", "none")
    assert "--track" not in " ".join((*job.arguments, *job.resumed_with))
