"""A launched graph does what ordinary calls do, bit by bit: graphs are lists of operations here, on the CPU."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.agents.captured import WARM_UP, Captured
from fire_rl.fire import Never, NoMethod, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.published import DQN as DQN_METHODS
from fire_rl.fire.published import SAC as SAC_METHODS
from fire_rl.replay import Batch, FrameReplay, TransitionReplay
from tests.fixtures.pretend_device import METHODS, REGULARIZERS
from tests.fixtures.pretended_cuda import CARD
from tests.fixtures.stepwise import ask_no_number_of_the_host

pytestmark = pytest.mark.usefixtures("one_thread")
Learner = SAC | DQN


def sac() -> SAC:
    sizes = SACSettings(critic_width=8, actor_width=8, critic_blocks=2)
    return SAC(5, 2, sizes, seed=np.random.SeedSequence(0))


def dqn() -> DQN:
    sizes = DQNSettings(network="minatar", hidden_width=16, target_every=6)
    return DQN((4, 10, 10), 3, sizes, seed=np.random.SeedSequence(0))


def capturing(agent: Learner) -> Learner:
    agent.captured = Captured(CARD)
    agent.captured.on = True
    return agent


def blocks(agent: Learner) -> Iterator[Batch]:
    lead = (2, 8)
    while True:
        if isinstance(agent, SAC):
            one, other, action = torch.randn(*lead, 5), torch.randn(*lead, 5), torch.rand(*lead, 2)
        else:
            one, other = (torch.randint(2, (*lead, 4, 10, 10), dtype=torch.uint8) for _ in range(2))
            action = torch.randint(3, lead)
        zeros = torch.zeros(lead)
        yield Batch(one, action, torch.randn(lead), other, zeros, steps=zeros + 1)


def assert_equal(states: list[dict[str, Tensor]]) -> None:
    one, other = states
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def learned(make: Callable[[], Learner], text: str) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the state and a method's figures after blocks of updates, with an event if the method has any."""
    torch.manual_seed(0)
    agent = make()
    regularizers = [parse_regularizer(text)] if text in REGULARIZERS else []
    presets = SAC_METHODS if isinstance(agent, SAC) else DQN_METHODS
    method = NoMethod() if regularizers else parse_method(text, presets)
    manager = PlasticityManager(agent.plastic(), method, Never(), regularizers)
    for number, batch in zip(range(WARM_UP + 5), blocks(agent), strict=False):
        agent.update(batch, manager)
        if method.acts_at_events and number == WARM_UP + 2:
            manager.act(Position(8, 8), agent.losses(Batch(*(tensor[0] for tensor in batch)), 0))
    return agent.state_dict() | manager.tensors(), manager.figures()


@pytest.mark.parametrize("make", [sac, dqn])
@pytest.mark.parametrize("text", [*METHODS, *REGULARIZERS])
def test_a_launched_update_equals_an_ordinary_one(
    make: Callable[[], Learner], text: str, monkeypatch: pytest.MonkeyPatch, cuda: list[str]
) -> None:
    ask_no_number_of_the_host(monkeypatch)
    ordinary, figures = learned(make, text)
    assert not cuda
    launched, same_figures = learned(lambda: capturing(make()), text)
    assert (cuda.count("captured"), cuda.count("launch")) == (1, 5)
    assert_equal([ordinary, launched])
    assert figures == same_figures
    assert ("=" not in text) or any(figures.values()), "units were replaced"


@pytest.mark.parametrize("make", [sac, dqn])
@pytest.mark.parametrize("text", ["none", *(text for text in METHODS if "=" in text)])
def test_in_float64_too(
    make: Callable[[], Learner], text: str, monkeypatch: pytest.MonkeyPatch, cuda: list[str]
) -> None:
    ask_no_number_of_the_host(monkeypatch)
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # by which agents convert observations
    torch.set_default_dtype(torch.float64)
    try:
        ordinary, launched = learned(make, text)[0], learned(lambda: capturing(make()), text)[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert (cuda.count("captured"), cuda.count("launch")) == (1, 5)
    assert {value.dtype for name, value in ordinary.items() if name.endswith("weight") and "step." not in name} == {
        torch.float64
    }
    assert_equal([ordinary, launched])


@pytest.mark.parametrize("make", [sac, dqn])
def test_in_bfloat16_too(make: Callable[[], Learner], cuda: list[str]) -> None:
    states = []
    for prepared in (lambda agent: agent, capturing):
        torch.manual_seed(0)
        agent = prepared(make())
        agent.captured.precision = "bfloat16"
        agent.captured.mixed = lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False)  # type: ignore[method-assign]
        for _, batch in zip(range(WARM_UP + 4), blocks(agent), strict=False):
            agent.update(batch)
        states.append(agent.state_dict())
    assert cuda.count("captured") == 1
    assert_equal(states)


def learned_meanwhile(agent: Learner, replay: FrameReplay | TransitionReplay, step: Callable[[], object]) -> None:
    """Do updates on batches that are read in the captured call, each after another step of the environments."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(8):
        step()
    for _ in range(4 * WARM_UP + 4):
        step()
        agent.update(replay.draw(2, 8, generator))


def short_episodes(members: int) -> tuple[FrameReplay, Callable[[], None]]:
    """Return a replay, and a step that ends half of the episodes, so that each step adds as many final frames."""
    replay, random = FrameReplay(200, members, (4, 10, 10), n_steps=2), np.random.default_rng(0)

    def step() -> None:
        one, other = random.integers(2, size=(2, members, 4, 10, 10), dtype=np.uint8)
        ends = np.arange(members) % 2 == 0
        replay.add(one, random.integers(3, size=members), random.normal(size=members), other, ends, ends)

    return replay, step


def test_graphs_read_a_growing_replay_and_are_captured_again_when_its_final_frames_need_more_room(
    cuda: list[str],
) -> None:
    states = []
    for prepared in (lambda agent: agent, capturing):
        agent = prepared(dqn())
        replay, step = short_episodes(8)
        learned_meanwhile(agent, replay, step)
        assert (len(replay), len(replay.final.frames)) == (192, 128), "64 at first"
        states.append(agent.state_dict())
    assert cuda.count("captured") == 2
    assert cuda.count("launch") > 2 * WARM_UP
    assert_equal(states)


def transitions(replay: TransitionReplay, random: np.random.Generator) -> None:
    one, other = random.normal(size=(2, 2, 5))
    ends = np.zeros(2, bool)
    replay.add(one, random.uniform(-1, 1, (2, 2)), random.normal(size=2), other, ends, ends)


def test_one_graph_reads_a_replay_that_grows_and_then_overwrites_its_oldest_transitions(cuda: list[str]) -> None:
    states = []
    for prepared in (lambda agent: agent, capturing):
        agent, replay = prepared(sac()), TransitionReplay(31, 5, 2)
        learned_meanwhile(agent, replay, partial(transitions, replay, np.random.default_rng(0)))
        assert (len(replay), replay.added) == (31, 48)
        states.append(agent.state_dict())
    assert (cuda.count("captured"), cuda.count("launch")) == (1, 3 * WARM_UP + 4)
    assert_equal(states)
