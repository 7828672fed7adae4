"""The memory and disk space of runs, as --dry-run reports it and as a cluster is asked for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from fire_rl.experiments.kept import TRUNK
from fire_rl.experiments.sweep.estimate import PROCESS, Disk, disk_of, memory_of_a_run, say_plan
from fire_rl.experiments.sweep.grid import Job
from fire_rl.replay import FrameReplay, TransitionReplay
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.work import Weight


def job(name: str, start: int, stop: int, trunk: Path | None = None) -> Job:
    method = TRUNK if name == "trunk" else "fire"
    return Job("env", method, 0, Path(name), "sac", (), start, stop, 1, trunk)


def weight(transitions: int, **settings: Any) -> Weight:
    run = RunSettings(action_repeat=1, checkpoint_every=1_000, **settings)
    return Weight(run, 100, 8 * transitions, transitions)


def weigh(replay: FrameReplay | TransitionReplay, agent: Any) -> Weight:
    return Reinforcement.weight(cast(Any, SimpleNamespace(replay=replay, agent=agent, settings=RunSettings())))


def test_memory_that_has_two_views_is_counted_once():
    agent = SimpleNamespace(state_dict=lambda: {"weight": torch.zeros(10), "bias": torch.zeros(5)})
    frames = FrameReplay(1_000, 1, (84, 84), stack=4)
    found = weigh(frames, agent)
    assert frames.frames.nbytes <= found.replay < 1.02 * frames.frames.nbytes
    assert (found.transitions, found.checkpoint) == (1_000, 60)
    assert found.steps_of_a_transition == RunSettings().action_repeat == 2
    flat = TransitionReplay(1_000, 3, 1)
    assert weigh(flat, agent).replay == flat.rows.nbytes
    assert memory_of_a_run({"a": found, "b": weight(10)}) == found.replay + PROCESS


def test_branches_add_what_they_write_after_their_trunk():
    trunk = job("trunk", 0, 5_000)
    branches = [job(name, 5_000, 10_000, trunk.folder) for name in "ab"]
    each = 5_000 * 8 + 2 * 100
    assert disk_of([trunk, *branches], {"env": weight(100_000)}) == Disk(3 * each, each, 2 * 100, each)


def test_a_branch_takes_place_after_its_trunk_and_no_more_runs_at_once_than_there_are(capsys):
    jobs = [job("trunk", 0, 3_600), *(job(name, 3_600, 7_200, Path("trunk")) for name in "ab")]
    rates: Any = {"env": SimpleNamespace(seconds=lambda updates, steps: 2.0 * steps)}
    say_plan(jobs, {each.folder: "new" for each in jobs}, {"env": weight(1)}, rates, 64)
    said = capsys.readouterr().out
    assert "about 4 hours with 3 runs at once on this CPU" in said
    assert "3.00 GB for 3 runs at once" in said


@pytest.mark.parametrize(
    ("transitions", "checkpoint_at", "transitions_kept", "checkpoints"),
    [
        (100_000, (), 10_000, 2),
        (500, (), 1_000, 2),  # of the last two checkpoints, which have none in common
        (1_500, (), 2_500, 2),  # which have 500 in common
        (500, (3_000,), 1_500, 3),  # one that is kept for good
        (500, (99_000,), 1_000, 2),  # never reached
    ],
)
def test_the_transitions_that_kept_checkpoints_need_are_counted(
    transitions: int, checkpoint_at: tuple[int, ...], transitions_kept: int, checkpoints: int
):
    found = disk_of([job("run", 0, 10_000)], {"env": weight(transitions, checkpoint_at=checkpoint_at)})
    assert found.everything == 8 * transitions_kept + 100 * checkpoints
    assert found.policies == 100 * (checkpoints - 1)
