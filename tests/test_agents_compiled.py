"""Compiled losses equal the losses in float64 up to rounding, and only updates use them, where they are possible."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.differences import differences
from benchmarks.gpu import subjects
from benchmarks.gpu.equality import made_in, trained
from benchmarks.gpu.subjects import Subject
from fire_rl.agents import DQN, SAC, DQNSettings
from fire_rl.agents.compiled import Compiled, require_compiler
from fire_rl.commands.train import train_sac
from fire_rl.fire import measure
from fire_rl.training.learners import DQNRun, SACRun
from tests.fixtures.calling import quietly

CPU = torch.device("cpu")
real_compile = torch.compile
TINY = [
    *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "160", "--learning-starts", "40", "--threads", "1"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "8", "--eval-every", "100", "--eval-episodes", "1"),
    *("--device", "cpu", "--measure-every", "50", "--checkpoint-every", "60", "--reinit", "fire"),
]


def with_compiled(make: Callable[[torch.device], SAC | DQN], backend: str, device: torch.device) -> SAC | DQN:
    agent = make(device)
    agent.compiled.on, agent.compiled.backend = True, backend
    return agent


def compiling(subject: Subject, backend: str) -> Subject:
    return Subject(**vars(subject) | {"make": partial(with_compiled, subject.make, backend)})


@pytest.fixture
def traced_alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No C++ compiler is needed: torch's ordinary operations run what is compiled, as one graph."""
    found = list[str]()

    def traced(function: Callable[..., Any], **options: Any) -> Any:
        assert options["fullgraph"]
        found.append(function.__name__)
        return real_compile(function, fullgraph=True, dynamic=False, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return found


class Doubling:
    def __init__(self) -> None:
        self.compiled = Compiled()
        self.compiled.on, self.compiled.backend = True, "eager"
        self.layer = torch.nn.Linear(3, 2)

    @torch.no_grad()
    def twice(self, inputs: Tensor) -> Tensor:
        return 2 * self.layer(inputs)


def test_a_process_may_make_as_many_agents_as_it_wants():
    inputs = torch.ones(4, 3)
    for agent in (Doubling() for _ in range(10)):  # torch's own limit is 8 graphs of one function
        assert torch.equal(agent.compiled(agent.twice)(inputs), agent.twice(inputs))


@pytest.mark.parametrize("make", [subjects.sac, subjects.dqn])
def test_each_loss_is_one_graph_and_the_graphs_are_the_losses(make: Any) -> None:
    subject = make(CPU, True)
    one, other = (trained(each, CPU, torch.float64) for each in (subject, compiling(subject, "eager")))
    assert torch.equal(one[1], other[1])
    assert not torch.equal(*one)


@pytest.mark.slow
@pytest.mark.parametrize("make", [subjects.sac, subjects.dqn])
def test_in_float64_updates_with_compiled_losses_are_the_ordinary_ones_to_rounding(make: Any) -> None:
    subject = make(CPU, True)
    (before, after), (_, other) = (
        trained(each, CPU, torch.float64) for each in (subject, compiling(subject, "inductor"))
    )
    assert (after - other).norm() < 1e-9 * (after - before).norm()


def test_targets_of_any_number_of_batches_have_a_graph_of_their_own() -> None:
    ordinary, other = subjects.dqn(CPU, True), compiling(subjects.dqn(CPU, True), "eager")
    states = []
    for subject in (ordinary, other):
        agent, generator = made_in(subject, CPU, torch.float32), torch.Generator().manual_seed(0)
        for count in (4, 1, 3, 2, 4, 7):
            agent.update(subject.replay.sample(count, subject.batch_size, generator))
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_measures_see_the_units_of_losses_that_updates_have_compiled() -> None:
    subject = compiling(subjects.sac(CPU, True), "eager")
    agent = subject.make(CPU)
    batches = subject.replay.sample(2, 16, torch.Generator().manual_seed(0))
    agent.update(batches)
    batch = type(batches)(*(tensor[0] for tensor in batches))
    losses, ordinary = agent.losses(batch, 0), subjects.sac(CPU, True).make(CPU)
    ordinary.load_state_dict(agent.state_dict())
    for network, same in zip(agent.plastic(), ordinary.plastic(), strict=True):
        wanted = measure(same, loss=ordinary.losses(batch, 0)[network.name])
        assert measure(network, loss=losses[network.name]) == wanted
        assert 0 < wanted["active"] <= 1


def test_nothing_is_compiled_unless_asked_for() -> None:
    def function(value: Tensor) -> Tensor:
        return value

    assert Compiled()(function) is function
    agent = DQN((3,), 2, DQNSettings(), seed=np.random.SeedSequence(0))
    assert not agent.compiled.on
    assert SACRun().run.compile == DQNRun().run.compile == "off"


train = partial(quietly, train_sac)


@pytest.mark.usefixtures("unrendered")
def test_a_resumed_run_with_compiled_losses_equals_an_uninterrupted_one(
    traced_alone: list[str], tmp_path: Path
) -> None:
    said = train(*TINY, "--compile", "losses", "--run-dir", str(tmp_path / "whole"))
    assert "losses are compiled" in said
    assert set(traced_alone) == {"_trial", "actor_loss", "critic_targets", "critic_loss"}
    train(*TINY, "--compile", "losses", "--steps", "120", "--reinit-at", "80", "--run-dir", str(tmp_path / "stopped"))
    train("--resume", str(tmp_path / "stopped"), "--steps", "160")
    assert differences(tmp_path / "whole", tmp_path / "stopped") == []


def test_a_run_without_a_compiler_does_not_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = train(*TINY, "--compile", "losses", "--run-dir", str(tmp_path / "run"), code=2)
    assert said.strip().startswith("--compile losses needs a C++ compiler, and there is no ")
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C compiler, and there is no no-such-compiler here: .* in CC$"):
        require_compiler(torch.device("cuda"))


def test_a_compiler_that_fails_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: object, **options: Any) -> Any:
        raise RuntimeError("Python.h: No such file\n  compilation terminated")

    monkeypatch.setattr(torch, "compile", failing)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(ValueError, match=r"does not work here: RuntimeError: Python\.h: No such file compilation term"):
        require_compiler(CPU)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reinit": "cbp"}, "cbp watches units in every update"),
        ({"reinit": "snr"}, "snr watches units in every update"),
        ({"reinit": "injection"}, "injection changes the structure of networks; give --compile off"),
    ],
)
def test_methods_that_compiled_losses_would_leave_out_are_refused(settings: dict[str, Any], words: str) -> None:
    config = SACRun().altered(**settings)
    config.check()
    with pytest.raises(ValueError, match=f"^--compile losses: {words}"):
        config.altered(compile="losses").check()
    SACRun().altered(reinit="fire", regularize=("l2-init", "parseval"), compile="losses").check()
