"""The runs that a comparison plans: trunks, branches, seeds and each method's settings."""

import time
from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.compare import default_name, make_grid, parse_seeds
from fire_rl.commands.compare_options import read_options
from fire_rl.commands.train import train_dqn
from fire_rl.experiments.kept import TRUNK
from fire_rl.experiments.sweep.tracked import require_tracker
from tests.fixtures.calling import quietly
from tests.fixtures.planned import CARTPOLE, jobs_of

ATARI_100K = """Alien Amidar Assault Asterix BankHeist BattleZone Boxing Breakout ChopperCommand CrazyClimber
    DemonAttack Freeway Frostbite Gopher Hero Jamesbond Kangaroo Krull KungFuMaster MsPacman Pong PrivateEye Qbert
    RoadRunner Seaquest UpNDown"""


def test_without_a_branch_point_there_is_a_run_for_each_method_seed_and_environment():
    jobs = jobs_of("--env", "h1-walk", "h1-run", "--reinit", "none", "fire", "--seeds", "0-2", "--preset", "quick")
    assert len(jobs) == len({job.folder for job in jobs}) == 12
    assert {(job.start, job.stop, job.trunk) for job in jobs} == {(0, 30_000, None)}
    assert jobs[1].command == (
        "python train_sac.py --preset quick --env h1-walk --seed 0 --threads 1 --reinit fire "
        "--run-dir runs/c/h1-walk-fire-seed0"
    )


def test_trunks_save_work():
    words = ("--env", "h1-walk", "--seeds", "0-4", "--reinit", "none", "reset", "shrink-perturb", "redo", "fire")
    branched = jobs_of(*words, "--branch-at", "0.5")
    assert len(branched) == 5 + 25
    work = sum(job.stop - job.start for job in branched)
    assert work == (1 + 5) / 2 * 5 * 1_000_000
    assert sum(job.updates for job in branched) < sum(job.updates for job in jobs_of(*words)) * 0.61
    assert all(job.trunk == Path(f"runs/c/h1-walk-trunk-seed{job.seed}") for job in branched[5:])


def test_a_branch_point_is_where_a_decision_begins():
    trunk = jobs_of("--env", "h1-walk", "--steps", "1002", "--branch-at", "0.5", "--seeds", "0")[0]
    assert (trunk.stop, trunk.method) == (502, TRUNK)  # a decision is two environment steps


def test_a_trunk_and_its_branch_without_a_method_are_the_whole_run(tmp_path: Path):
    words = (*CARTPOLE, "--reinit", "none", "--seeds", "3")
    (whole,) = jobs_of(*words, folder=tmp_path / "whole")
    trunk, branch = jobs_of(*words, "--branch-at", "0.5", folder=tmp_path / "branched")
    assert "--exploration-steps 120 " in " ".join(trunk.arguments)  # of 1200 steps, not of 600
    for job in (whole, trunk, branch):
        quietly(train_dqn, *job.arguments)
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
        (["--env", "h1-walk", "h1-walk"], "none on h1-walk with the seed 0 is given twice"),
        (["--env", "a/b-v0", "a_b-v0"], "the names of a/b-v0 and a_b-v0 are alike in a folder: compare them with two"),
    ],
)
def test_a_plan_that_is_not_possible_is_refused_in_one_line(words: list[str], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        jobs_of(*words)
    assert "\n" not in str(caught.value)


OWN = """
from dataclasses import dataclass
from fire_rl.fire import REGULARIZERS, Reset
from tests.fixtures.calling import quietly

@dataclass(frozen=True)
class Mine(Reset):
    "A method of one's own."

@dataclass(frozen=True)
class Gentle(REGULARIZERS["l2-init"]):
    "A regularizer of one's own."
"""


def test_a_command_that_continues_a_run_names_only_a_users_own_code(tmp_path: Path, monkeypatch):
    (tmp_path / "own_words.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    mine, gentle = "own_words:Mine", "own_words:Gentle"
    words = ("--env", "h1-walk", "--seeds", "0", "--reinit", "fire:solver=exact+l2-init", mine, f"none+{gentle}")
    jobs = jobs_of(*words)
    assert [job.resumed_with for job in jobs] == [(), ("--reinit", mine), ("--regularize", gentle)]
    trunk, built_in, *_ = jobs_of(*words, "--regularize", gentle, "parseval", "--branch-at", "0.5")
    assert trunk.resumed_with == ("--regularize", gentle, "parseval"), "all of them, because they belong to the run"
    assert built_in.resumed_with == ("--regularize", gentle, "parseval", "l2-init")
    assert f"--regularize {gentle} parseval l2-init" in built_in.command, "a branch names its trunk's, too"


def test_a_users_own_environment_is_named_by_branches_and_when_runs_continue():
    env = "tests.fixtures.another_pendulum:AnotherPendulum-v0"
    trunk, branch = jobs_of("--env", env, "--reinit", "none", "--seeds", "0", "--branch-at", "0.5")
    assert trunk.resumed_with == branch.resumed_with == ("--env", env)
    assert f"--env {env}" in branch.command
    assert (
        "--env" not in jobs_of("--env", "h1-walk", "--reinit", "none", "--seeds", "0", "--branch-at", "0.5")[1].command
    )


def test_a_run_of_a_users_own_method_continues_if_the_command_line_names_it(tmp_path: Path, monkeypatch):
    (tmp_path / "own_words_again.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (job,) = jobs_of(*CARTPOLE, "--reinit", "own_words_again:Mine", "--seeds", "3", folder=tmp_path / "c")
    quietly(train_dqn, *job.arguments)
    longer = ("--resume", str(job.folder), "--steps", "1800")
    with pytest.raises(ValueError, match="names code outside fire-rl"):
        train_dqn(longer)
    assert train_dqn((*longer, *job.resumed_with)) == 0


def test_the_last_of_repeated_flags_counts_and_a_note_says_so(capsys: pytest.CaptureFixture[str]):
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


def test_the_working_directory_can_hold_a_comparison():
    (job,) = jobs_of("--env", "h1-walk", "--reinit", "none", "--seeds", "0", folder=Path())
    assert job.folder == Path("h1-walk-none-seed0")


def test_the_default_folder_of_many_environments_has_a_short_name():
    options, passed = read_options(["--agent", "dqn", "--env", *ATARI_100K.split(), "--seeds", "0"])
    assert make_grid(options, passed).folder == Path("runs/compare-dqn-26-environments")
    assert default_name("dqn", ("Pong", "Breakout")) == "compare-dqn-Pong-Breakout"


def test_a_grid_of_ten_thousand_runs_is_planned_in_seconds():
    begin = time.process_time()
    assert len(jobs_of("--env", "h1-walk", "--reinit", "none", "fire", "--seeds", "0-4999")) == 10_000
    assert time.process_time() - begin < 20


def test_seeds_are_ranges_or_lists():
    assert parse_seeds(["0-4"]) == (0, 1, 2, 3, 4)
    assert parse_seeds(["0", "2,5", "7-8"]) == (0, 2, 5, 7, 8)


def test_tracked_runs_are_one_group_with_trunks_and_branches_distinguished():
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


def test_trunks_and_branches_are_distinguished_without_trackers_too():
    trunk, branch = jobs_of(*CARTPOLE, "--seeds", "0", "--branch-at", "0.5", "--reinit", "none")
    assert "--track-tags trunk --run-dir" in " ".join(trunk.arguments)
    assert "--track" not in " ".join((*trunk.resumed_with, *branch.arguments, *branch.resumed_with))


def test_tracking_settings_without_a_tracker_are_refused():
    with pytest.raises(ValueError, match="--track-group given without --track, so there is no tracker"):
        require_tracker((("--track-group", ("mine",)),))


def test_runs_that_are_not_tracked_have_no_tracking_flags():
    (job,) = jobs_of(*CARTPOLE, "--seeds", "0", "--reinit", "none")
    assert "--track" not in " ".join((*job.arguments, *job.resumed_with))
