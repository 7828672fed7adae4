"""Injection in soft actor-critic: each head of actor and critic, and whole runs that are resumed and branched."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.differences import differences
from fire_rl.agents import SAC, SACSettings
from fire_rl.commands.train import train_sac as train
from fire_rl.fire import Injected, Injection, Never, PlasticityManager, Position, restore_structure
from fire_rl.replay import Batch
from fire_rl.training.checkpoint import read_checkpoint, steps_of
from fire_rl.training.lines import read_lines
from tests.fixtures.calling import quietly

pytestmark = pytest.mark.usefixtures("unrendered_module")
OBSERVATION, ACTION = 5, 2
SIZES = SACSettings(critic_width=8, critic_blocks=1, actor_width=8, batch_size=16, learning_rate=1e-2)
TINY = [
    *("--env", "h1-walk", "--steps", "400", "--learning-starts", "40", "--seed", "3"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--replay-capacity", "150"),
    *("--eval-every", "130", "--eval-episodes", "1", "--log-every", "50", "--checkpoint-every", "120"),
    *("--threads", "1", "--device", "cpu", "--replay-ratio", "0.4"),
]
TWICE = ("--reinit", "injection", "--reinit-every", "26")  # at environment steps 210 and 340


def make_agent(updates: int = 0) -> SAC:
    agent = SAC(OBSERVATION, ACTION, SIZES, seed=np.random.SeedSequence(0))
    if updates:
        agent.update(make_batch(updates))
    return agent


def make_batch(updates: int, seed: int = 0) -> Batch:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    lead = (updates, 16)
    observations, following = draw(*lead, OBSERVATION), draw(*lead, OBSERVATION)
    return Batch(
        observations, draw(*lead, ACTION).tanh(), draw(*lead), following, torch.zeros(lead), steps=torch.ones(lead)
    )


def inject(agent: SAC) -> PlasticityManager:
    manager = PlasticityManager(agent.plastic(), Injection(), Never())
    manager.act(Position(1, 1))
    return manager


@pytest.mark.parametrize("times", [1, 2])
def test_each_head_is_injected_and_outputs_do_not_change(times: int):
    agent = make_agent(updates=3)
    batch = make_batch(1, seed=1)
    observations, actions = batch.observations[0], batch.actions[0]
    for _ in range(times):
        before = [*agent.actor(observations), agent.critic(observations, actions)]
        target, temperature = agent.target_critic(observations, actions), agent.log_temperature.clone()
        inject(agent)
        after = [*agent.actor(observations), agent.critic(observations, actions)]
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
        assert torch.equal(agent.target_critic(observations, actions), target)
        assert torch.equal(agent.log_temperature, temperature)
        agent.update(make_batch(2, seed=2))
    heads = agent.actor.mean, agent.actor.log_std, agent.critic.value, agent.target_critic.value
    assert all(isinstance(head, Injected) for head in heads)


def test_updates_change_what_learns_and_the_target_follows_with_its_frozen_head_too():
    agent = make_agent(updates=3)
    inject(agent)
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    agent.update(make_batch(2, seed=4))
    after = agent.state_dict()
    frozen = [
        name for name in after if name.startswith(("actor.", "critic.")) and (".old." in name or "frozen" in name)
    ]
    assert len(frozen) == 12, "weight and bias, old and frozen, of three heads"
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    learning = [name.removeprefix("optimizer.actor.exp_avg.") for name in after if "actor.exp_avg." in name]
    assert [name for name in learning if not name.startswith("encoder.")] == [
        f"{head}.trained.{kind}" for head in ("mean", "log_std") for kind in ("weight", "bias")
    ]
    assert not any(torch.equal(after[f"actor.{name}"], before[f"actor.{name}"]) for name in learning)
    old, towards = before["target_critic.value.old.weight"], before["critic.value.old.weight"]
    share = 1 - (1 - SIZES.target_rate) ** 2
    torch.testing.assert_close(after["target_critic.value.old.weight"], old + share * (towards - old))
    assert torch.equal(after["target_critic.value.frozen.weight"], before["critic.value.frozen.weight"])


def test_a_loaded_agent_continues_bit_by_bit():
    agent = make_agent(updates=3)
    state = inject(agent).state_dict()
    agent.update(make_batch(2, seed=1))
    other = make_agent(updates=1)
    restore_structure(other.plastic(), state)
    other.load_state_dict(agent.state_dict())
    for each in (agent, other):
        each.update(make_batch(2, seed=2))
    mine, theirs = agent.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_an_injected_agent_does_not_load_into_one_that_is_not():
    agent = make_agent()
    inject(agent)
    with pytest.raises(ValueError, match=r"the saved agent lacks 'actor.log_std.bias'"):
        make_agent().load_state_dict(agent.state_dict())


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is injected twice, with checkpoints before, between and after the events."""
    folder = tmp_path_factory.mktemp("runs") / "trunk"
    quietly(train, *TINY, *TWICE, "--checkpoint-at", "120", "240", "--run-dir", str(folder))
    return folder


def events(run: Path) -> list[tuple[int, str]]:
    lines = [line for line in read_lines(run / "metrics.jsonl") if line["kind"] == "event"]
    return [(line["environment_steps"], line["method"]) for line in lines]


def test_evaluations_before_and_after_an_injection_are_equal(trunk: Path):
    assert events(trunk) == [(208, "injection"), (338, "injection")]
    lines = [line for line in read_lines(trunk / "metrics.jsonl") if line["kind"] == "evaluation"]
    occasions: dict[str, list[Any]] = {}
    for line in lines:
        occasions.setdefault(line["occasion"], []).append(line["returns"])
    assert len(occasions["before event"]) == 2
    assert occasions["before event"] == occasions["after event"]


def test_a_run_resumed_between_and_after_two_injections_equals_the_uninterrupted_one(trunk: Path, tmp_path: Path):
    folder = tmp_path / "run"
    quietly(train, *TINY, *TWICE, "--checkpoint-at", "120", "240", "--steps", "240", "--run-dir", str(folder))
    quietly(train, "--resume", str(folder), "--steps", "360")
    quietly(train, "--resume", str(folder), "--steps", "400")
    assert differences(trunk, folder) == []


def test_a_branch_of_an_injected_trunk_without_a_method_equals_the_trunk_continued(trunk: Path, tmp_path: Path):
    quietly(train, "--branch-from", f"{trunk}@360", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert differences(trunk, tmp_path / "branch") == []


def test_a_branch_from_before_the_first_injection_injects_and_resumes(trunk: Path, tmp_path: Path):
    whole, folder = tmp_path / "whole", tmp_path / "branch"
    branch = ("--branch-from", f"{trunk}@120", "--reinit", "injection:optimizer=keep", "--reinit-every", "1000")
    quietly(train, *branch, "--steps", "240", "--run-dir", str(whole))
    quietly(train, *branch, "--steps", "200", "--run-dir", str(folder))
    quietly(train, "--resume", str(folder), "--steps", "240")
    assert events(whole) == [(120, "injection:optimizer=keep")]
    assert differences(whole, folder) == []


@pytest.mark.parametrize(
    "method",
    ["fire", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reset", "shrink-perturb", "injection"))],
)
def test_another_method_acts_on_an_injected_trunk(trunk: Path, tmp_path: Path, method: str):
    whole, folder = tmp_path / "whole", tmp_path / "branch"
    branch = ("--branch-from", f"{trunk}@240", "--reinit", method, "--reinit-every", "1000")
    quietly(train, *branch, "--steps", "300", "--run-dir", str(whole))
    quietly(train, *branch, "--steps", "260", "--run-dir", str(folder))
    quietly(train, "--resume", str(folder), "--steps", "300")
    assert [step for step, _ in events(whole)] == [208, 240]
    assert differences(whole, folder) == []


def test_a_full_reset_of_an_injected_run_gives_the_outputs_of_the_initial_network(trunk: Path, tmp_path: Path):
    folder = tmp_path / "branch"
    branch = ("--branch-from", f"{trunk}@360", "--reinit", "reset", "--reinit-every", "1000", "--steps", "362")
    quietly(train, *branch, "--replay-ratio", "0.001", "--run-dir", str(folder))
    then = read_checkpoint(folder, steps_of(folder)[-1]).learner
    for name, value in then.items():
        if name.startswith("initial."):
            assert torch.equal(then[name.removeprefix("initial.")], value)
    for head in ("actor.mean", "actor.log_std", "critic.value"):
        parts = ("old.old", "old.trained", "old.frozen", "trained", "frozen")
        first = [then[f"{head}.{part}.weight"] for part in parts]
        assert all(torch.equal(first[0], other) for other in first)
