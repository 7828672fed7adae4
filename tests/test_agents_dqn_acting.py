"""DQN acts as published: greedily, except for random actions that become rarer with every decision."""

from typing import Any

import numpy as np
import pytest
import torch

from fire_rl.agents import DQN, DQNSettings

ACTIONS = 5


def make_agent(exploration_decisions: int = 1_000, **settings: Any) -> DQN:
    return DQN(
        (3,),
        ACTIONS,
        DQNSettings(hidden_width=8, **settings),
        seed=np.random.SeedSequence(0),
        exploration_decisions=exploration_decisions,
    )


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


def test_exploration_falls_linearly_with_the_decisions_and_stays_at_its_final_value():
    agent = make_agent(exploration_decisions=1_000)
    seen = []
    for _ in range(300):
        seen.append(agent.exploration)
        agent.act(vectors(4), explore=True)
    expected = [max(1.0 + (0.01 - 1.0) / 1_000 * 4 * k, 0.01) for k in range(300)]  # the published schedule
    assert seen == pytest.approx(expected)
    assert seen[0] == 1.0
    assert seen[-1] == 0.01


def test_the_warm_up_and_evaluation_do_not_count_as_decisions():
    agent = make_agent()
    agent.random_actions(4)
    agent.act(vectors(4), explore=False)
    assert agent.exploration == 1.0


def test_without_decisions_to_fall_over_exploration_is_final_at_once():
    assert make_agent(exploration_decisions=0).exploration == 0.01


@pytest.mark.parametrize("together", [True, False])
def test_one_draw_decides_for_all_environments_or_each_has_its_own(together):
    agent = make_agent(initial_exploration=0.5, final_exploration=0.5, explore_together=together)
    observations = vectors(6)
    greedy = agent.act(observations, explore=False)
    rounds = 4_000
    differs = np.array([agent.act(observations, explore=True) != greedy for _ in range(rounds)])
    # A random action differs from the greedy one 4 times in 5, and half of all rounds are random.
    np.testing.assert_allclose(differs.mean(0), 0.5 * 0.8, atol=0.03)
    untouched = (~differs).all(1).mean()
    assert untouched == pytest.approx(0.5 + 0.5 * 0.2**6 if together else 0.6**6, abs=0.03)


def test_random_actions_are_drawn_for_each_environment_evenly():
    agent = make_agent()
    actions = np.array([agent.act(vectors(4), explore=True) for _ in range(3)])
    assert actions.dtype == np.int64
    assert agent.random_actions(7).dtype == np.int64
    assert any(len(set(row)) > 1 for row in actions.tolist())
    counts = np.bincount(agent.random_actions(10_000), minlength=ACTIONS)
    np.testing.assert_allclose(counts / 10_000, 1 / ACTIONS, atol=0.02)


@pytest.mark.parametrize("together", [True, False])
def test_the_random_generator_moves_equally_far_whatever_is_drawn(together):
    always = make_agent(initial_exploration=1.0, final_exploration=1.0, explore_together=together)
    never = make_agent(initial_exploration=0.0, final_exploration=0.0, explore_together=together)
    for agent in (always, never):
        agent.act(vectors(4), explore=True)
    assert torch.equal(always.acting_generator.get_state(), never.acting_generator.get_state())


def test_greedy_acting_takes_the_best_action_and_draws_nothing():
    agent = make_agent()
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    actions = agent.act(vectors(9), explore=False)
    assert all(torch.equal(value, before[name]) for name, value in agent.state_dict().items())
    assert actions.dtype == np.int64
    values = agent.network(torch.from_numpy(vectors(9))).detach().numpy()
    assert (values[np.arange(9), actions] == values.max(1)).all()


def test_actions_that_are_random_anyway_ask_no_network(monkeypatch: pytest.MonkeyPatch):
    agent = make_agent(initial_exploration=1.0, final_exploration=1.0)
    monkeypatch.setattr(agent, "network", None)
    agent.act(vectors(4), explore=True)
