"""An agent's size, computed by arithmetic alone, equals the size of a real agent."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.replay import Batch


def batch(settings: Any, shape: tuple[int, ...], actions: torch.Tensor) -> Batch:
    lead = (1, settings.batch_size)
    observations = torch.rand(*lead, *shape)
    return Batch(observations, actions, torch.zeros(lead), observations, torch.zeros(lead), torch.ones(lead))


def operations(agent: Any, examples: Batch) -> int:
    with FlopCounterMode(display=False) as counter:
        agent.update(examples)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "settings",
    [
        SACSettings(critic_width=24, actor_width=16, batch_size=8),
        SACSettings(critic_width=8, actor_width=32, critic_blocks=3, actor_blocks=2, critics=5, batch_size=4),
    ],
)
def test_size_of_soft_actor_critic(settings):
    agent = SAC(11, 3, settings, seed=np.random.SeedSequence(0))
    size = settings.size((11,), 3)
    trained = [*agent.actor.parameters(), *agent.critic.parameters()]
    assert size.parameters == sum(parameter.numel() for parameter in trained)
    assert size.operations == operations(agent, batch(settings, (11,), torch.rand(1, settings.batch_size, 3)))


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((4, 40, 52), DQNSettings(batch_size=4)),
        ((4, 40, 40), DQNSettings(batch_size=3, network="minatar", hidden_width=17)),
        ((6, 10, 10), DQNSettings(batch_size=4, double=True)),
        ((5,), DQNSettings(batch_size=4, hidden_width=24)),
    ],
)
def test_size_of_dqn(shape, settings):
    agent = DQN(shape, 3, settings, seed=np.random.SeedSequence(0))
    size = settings.size(shape, 3)
    assert size.parameters == sum(parameter.numel() for parameter in agent.network.parameters())
    actions = torch.zeros((1, settings.batch_size), dtype=torch.int64)
    assert size.operations == operations(agent, batch(settings, shape, actions))


@pytest.mark.parametrize("settings", [SACSettings(critic_width=300, batch_size=8), DQNSettings(hidden_width=3_000)])
def test_the_bytes_of_a_large_network_are_those_of_everything_it_keeps(settings):
    shape, seed = (11,), np.random.SeedSequence(0)
    agent: Any = (
        SAC(11, 3, settings, seed=seed) if isinstance(settings, SACSettings) else DQN(shape, 3, settings, seed=seed)
    )
    kept = sum(value.numel() * value.element_size() for value in agent.state_dict().values())
    gradients = 4 * settings.size(shape, 3).parameters
    assert settings.size(shape, 3).bytes == pytest.approx(kept + gradients, rel=0.15)


def test_any_size_can_be_asked_for():
    huge = 2**53
    assert SACSettings(critic_width=huge, critic_blocks=huge, critics=huge).size((51,), 19).bytes > huge**4
    assert DQNSettings(hidden_width=huge, batch_size=huge).size((4, 84, 84), 4).bytes > huge
