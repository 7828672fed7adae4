"""On a GPU the host waits for nothing in a decision but its action. These tests are skipped where there is no GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.agents.captured import WARM_UP
from fire_rl.agents.from_host import FromHost
from fire_rl.replay import FrameReplay, TransitionReplay
from fire_rl.training.sums import Sums

GPU = torch.device("cuda")
Made = tuple[SAC | DQN, TransitionReplay | FrameReplay, np.ndarray]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def sac() -> Made:
    agent = SAC(5, 2, SACSettings(critic_width=8, actor_width=8), seed=np.random.SeedSequence(0), device=GPU)
    return agent, TransitionReplay(40, 5, 2, GPU), np.ones((1, 5))


def dqn() -> Made:
    settings = DQNSettings(network="minatar", hidden_width=8)
    agent = DQN((4, 10, 10), 3, settings, seed=np.random.SeedSequence(0), device=GPU)
    return agent, FrameReplay(40, 1, (4, 10, 10), n_steps=2, device=GPU), np.ones((1, 4, 10, 10), np.uint8)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Within the block, torch lets the host wait for the GPU ("default") or raises an error ("error")."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(what)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the host has waited for an action."""
    fetch, counted = FromHost._fetch, [0]

    def allowed(self: FromHost, result: Tensor, kind: Any) -> np.ndarray:
        counted[0] += 1
        with waiting("default"):
            return fetch(self, result, kind)

    monkeypatch.setattr(FromHost, "_fetch", allowed)
    return counted


@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("make", [sac, dqn])
def test_the_host_waits_only_for_the_action(make: Callable[[], Made], captures: bool, fetched: list[int]) -> None:
    agent, replay, observation = make()
    agent.captured.on = captures
    generator, sums = torch.Generator().manual_seed(0), Sums()

    def decide(ended: bool = False) -> None:
        observation[:] += 1
        agent.observe(observation)
        actions = agent.act(observation, explore=isinstance(agent, SAC))
        if len(replay):
            sums.add(agent.update(replay.draw(2, 8, generator)), 2)
        ends = np.array([ended])
        replay.add(observation, actions, np.ones(1), observation, ends, ends & False)

    for number in range(WARM_UP + 3):
        decide(ended=number == 2)
    fetched[0] = 0
    with waiting("error"):
        for number in range(6):
            decide(ended=number == 3)
    assert fetched == [6]
    assert all(np.isfinite(list(sums.means(WARM_UP + 8).values())))


def test_a_wait_would_be_noticed() -> None:
    number = torch.ones((), device=GPU)
    with waiting("error"), pytest.raises(RuntimeError):
        number.item()


@pytest.mark.parametrize("make", [sac, dqn])
def test_captured_and_ordinary_updates_are_equal_and_so_are_their_random_numbers(make: Callable[[], Made]) -> None:
    states = []
    for captures in (False, True):
        agent, replay, observation = make()
        agent.captured.on = captures
        generator, ends = torch.Generator().manual_seed(0), np.zeros(1, bool)
        for number in range(2 * WARM_UP + 4):
            observation[:] = number
            agent.observe(observation)
            actions = agent.act(observation, explore=isinstance(agent, SAC))
            replay.add(observation, actions, np.ones(1), observation, ends, ends)
            agent.update(replay.draw(2, 8, generator))
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_after_a_failed_capture_the_agent_learns_and_draws_as_without_captures() -> None:
    states = []
    for captures in (False, True):
        agent, replay, observation = sac()
        assert isinstance(agent, SAC)
        agent.captured.on, said = captures, list[str]()
        agent.captured.say = said.append
        move_target = agent.move_target

        def reading(move_target: Callable[[], None] = move_target, agent: SAC = agent) -> None:
            move_target()
            agent.log_temperature.item()  # the host cannot wait in a capture

        agent.move_target = reading  # type: ignore[method-assign]
        ends, generator = np.zeros(1, bool), torch.Generator().manual_seed(0)
        for number in range(2 * WARM_UP + 2):
            observation[:] = number
            agent.observe(observation)
            replay.add(observation, agent.act(observation, explore=True), np.ones(1), observation, ends, ends)
            agent.update(replay.draw(2, 8, generator))
        assert len(said) == captures
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
