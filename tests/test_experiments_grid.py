"""A comparison's runs are ordinary command lines; with a shared trunk they are the same runs, for less work."""

import contextlib
import io
from pathlib import Path

import pytest

import train_dqn
import train_sac
from compare import make_grid, parse_seeds, read_options
from experiments.sweep.grid import TRUNK, Job, plan
from training.differences import differences

CARTPOLE = (
    *("--agent", "dqn", "--env", "CartPole-v1", "--preset", "quick", "--steps", "1200", "--learning-starts", "100"),
    *("--hidden-width", "8", "--eval-every", "600", "--eval-episodes", "2", "--log-every", "200"),
    *("--checkpoint-every", "600", "--device", "cpu", "--measure-every", "0"),
)


def jobs_of(*words: str, folder: Path = Path("runs/c")) -> tuple[Job, ...]:
    options, passed = read_options([*words, "--dir", str(folder)])
    return plan(make_grid(options, passed), {"sac": train_sac, "dqn": train_dqn}[options.agent].PRESETS)


def train(job: Job) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        assert train_dqn.train(job.arguments) == 0, output.getvalue()


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
    assert trunk.arguments[-4:-2] == ("--exploration-steps", "120")  # of 1200 steps, not of 600
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
        (["--branch-at", "0.5", "--reinit-at", "9", "--reinit", "fire"], "--reinit-at 9 given; methods begin at"),
        (["--branch-at", "half"], "--branch-at 'half' given; allowed is a number"),
        (["--reply-ratio", "4"], "unknown flag --reply-ratio; did you mean --replay-ratio"),
        (["--replay-ratio", "much"], "--replay-ratio 'much' given"),
        (["--preset", "quik"], "--preset 'quik' given.*did you mean quick"),
        (["--run-dir", "x"], "--run-dir given; each run of a comparison gets its own"),
        (["--threads", "0"], "--threads 0"),
        (["--agent", "ppo"], "--agent 'ppo' given; allowed is one of sac, dqn"),
    ],
)
def test_what_cannot_be_planned_ends_in_one_line(words: list[str], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        jobs_of(*words)
    assert "\n" not in str(caught.value)


def test_seeds_are_ranges_or_lists():
    assert parse_seeds(["0-4"]) == (0, 1, 2, 3, 4)
    assert parse_seeds(["0", "2,5", "7-8"]) == (0, 2, 5, 7, 8)
