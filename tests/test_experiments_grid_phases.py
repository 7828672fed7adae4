"""Comparisons of runs in phases: the first phase is the trunk, and data sets are given like environments."""

from pathlib import Path

import pytest

from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.kept import TRUNK
from fire_rl.experiments.sweep.grid import Job
from fire_rl.experiments.sweep.plan import plan
from fire_rl.training.beginning import Request, branched
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS

VISION = ("--agent", "vision", "--preset", "quick", "--data", "digits", "--images", "100", "--batch-size", "16")


def jobs_of(*words: str) -> tuple[Job, ...]:
    options, passed = read_options([*words, "--dir", "runs/c"])
    return plan(make_grid(options, passed))


def test_the_first_phase_is_the_trunk():
    jobs = jobs_of(*VISION, "--reinit", "none", "fire", "redo", "--seeds", "0-1", "--branch-at", "phase")
    assert [(job.method, job.start, job.stop) for job in jobs[:2]] == [(TRUNK, 0, 120)] * 2  # 10 images, 120 epochs
    assert {(job.start, job.stop) for job in jobs[2:]} == {(120, 204)}  # 7 batches, 12 epochs
    assert jobs[3].command == (
        "python train_vision.py --branch-from runs/c/digits-trunk-seed0@120 --steps 204 --reinit fire "
        "--run-dir runs/c/digits-fire-seed0"
    )


def test_a_task_of_many_phases_branches_at_the_second():
    words = (*VISION, "--task", "continual", "--phases", "4", "--epochs", "3")
    jobs = jobs_of(*words, "--reinit", "none", "fire", "--seeds", "0", "--branch-at", "phase")
    assert [(job.start, job.stop) for job in jobs] == [(0, 6), (6, 54), (6, 54)]


def test_data_sets_are_compared_as_environments_are():
    words = ("--agent", "vision", "--preset", "quick", "--images", "1000", "--data", "digits", "fashion")
    jobs = jobs_of(*words, "--reinit", "none", "--seeds", "0")
    assert [job.env for job in jobs] == ["digits", "fashion"]
    assert "--data fashion" in jobs[1].command


def test_language_has_its_trunk_too():
    jobs = jobs_of(
        "--agent", "language", "--preset", "quick", "--reinit", "none", "--seeds", "0", "--branch-at", "phase"
    )
    assert [(job.start, job.stop) for job in jobs] == [(0, 600), (600, 1_200)]


def test_optimizers_of_the_later_phases_share_the_trunks():
    words = (*VISION, "--reinit", "none", "fire", "--seeds", "0-1", "--branch-at", "phase")
    jobs = jobs_of(*words, "--later-optimizer", "same", "muon")
    trunks = [job for job in jobs if job.method == "trunk"]
    assert len(jobs) == 10
    assert [job.name for job in trunks] == [f"digits-trunk-later-optimizer=same-seed{seed}" for seed in (0, 1)]
    for job in jobs[2:]:
        assert job.trunk == trunks[job.seed].folder
        assert f"--later-optimizer {job.place['later_optimizer']}" in job.command
    alone = jobs_of(*words, "--later-optimizer", "muon")
    assert all("--later-optimizer muon" in job.command for job in alone)
    other = jobs_of(*words, "--later-optimizer", "same", "muon", "--optimizer", "adam", "muon")
    assert sorted({job.trunk.name for job in other if job.trunk and job.seed == 0}) == [
        f"digits-trunk-later-optimizer=same-optimizer={name}-seed0" for name in ("adam", "muon")
    ]


def test_a_trunk_that_goes_beyond_the_second_phase_has_its_own_optimizer():
    words = (*VISION, "--task", "continual", "--phases", "4", "--epochs", "3", "--reinit", "none", "--seeds", "0")
    jobs = jobs_of(*words, "--branch-at", "0.5", "--later-optimizer", "same", "muon")
    assert [job.method for job in jobs] == ["trunk", "trunk", "none", "none"]
    assert {job.trunk.name for job in jobs if job.trunk} == {job.name for job in jobs[:2]}


def test_agents_have_no_phases():
    with pytest.raises(ValueError, match="the data of sac has no phases"):
        jobs_of("--agent", "sac", "--env", "h1-walk", "--branch-at", "phase")


def test_a_period_counts_epochs_where_a_method_acts_repeatedly():
    config = read_command_line([*VISION[2:], "--reinit", "redo"], LEARNERS["vision"]).config.resolved()
    assert (config.run.reinit_every, config.run.reinit_at) == (7, ())
    config = read_command_line([*VISION[2:], "--reinit", "fire"], LEARNERS["vision"]).config.resolved()
    assert (config.run.reinit_every, config.run.reinit_at) == (None, (120,))


def test_a_branch_that_is_not_a_run_is_refused(tmp_path: Path):
    request = Request(LEARNERS["vision"].presets["quick"].config, {}, branch_from=str(tmp_path))
    with pytest.raises(ValueError, match="not a run"):
        branched(request, str(tmp_path))
