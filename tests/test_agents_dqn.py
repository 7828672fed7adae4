"""DQN makes the published update, checked against a computation in float64 that shares no code with it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fire_rl.agents import DQN, DQNSettings
from fire_rl.fire import Injection, Method, Network, Never, PlasticityManager, Position
from fire_rl.replay import Batch

SHAPE, ACTIONS, BATCH = (2, 36, 36), 3, 8
SMALL = DQNSettings(hidden_width=16, batch_size=BATCH, learning_rate=1e-3, target_every=2)


def make_agent(seed: int = 0, settings: DQNSettings = SMALL, shape: tuple[int, ...] = SHAPE, **options: Any) -> DQN:
    options = {"gamma": 0.9, "scale": 1 / 255, "exploration_decisions": 100} | options
    return DQN(shape, ACTIONS, settings, seed=np.random.SeedSequence(seed), **options)


def make_batch(updates: int = 1, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    lead = (updates, BATCH)
    return Batch(
        torch.randint(256, (*lead, *SHAPE), dtype=torch.uint8, generator=random),
        torch.randint(ACTIONS, lead, generator=random),
        2 * torch.randn(lead, generator=random),
        torch.randint(256, (*lead, *SHAPE), dtype=torch.uint8, generator=random),
        (torch.rand(lead, generator=random) < 0.3).float(),
        torch.randint(1, 4, lead, generator=random).float(),
    )


def one_of(batches: Batch, k: int) -> Batch:
    return Batch(*(tensor[k : k + 1] for tensor in batches))


class Reference:
    """The published update written from its equations in float64, with Adam and the target's schedule written out."""

    def __init__(self, agent: DQN) -> None:
        self.q = {n: p.detach().double().contiguous().requires_grad_() for n, p in agent.network.named_parameters()}
        self.target = {n: p.detach().clone() for n, p in self.q.items()}
        self.settings, self.gamma, self.t = agent.settings, agent.gamma, 0
        self.m = {n: torch.zeros_like(p) for n, p in self.q.items()}
        self.v = {n: torch.zeros_like(p) for n, p in self.q.items()}

    @staticmethod
    def values(p, images):
        x = images.double() / 255
        for layer, stride in ((0, 4), (2, 2), (4, 1)):
            x = functional.conv2d(x, p[f"encoder.{layer}.weight"], p[f"encoder.{layer}.bias"], stride).clamp(min=0)
        x = x.reshape(len(x), -1)
        x = (x @ p["head.0.weight"].T + p["head.0.bias"]).clamp(min=0)
        return x @ p["head.2.weight"].T + p["head.2.bias"]

    def step(self, batch: Batch) -> dict[str, float]:
        o, a, r, n, d, steps = (tensor[0] for tensor in batch)
        rows = torch.arange(BATCH)
        with torch.no_grad():
            following = self.values(self.target, n)
            best = (self.values(self.q, n) if self.settings.double else following).argmax(1)
            y = r.double() + self.gamma ** steps.double() * (1 - d.double()) * following[rows, best]
        chosen = self.values(self.q, o)[rows, a]
        error = (chosen - y).abs()
        loss = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
        gradients = torch.autograd.grad(loss, list(self.q.values()))
        self.t += 1
        for (name, value), g in zip(self.q.items(), gradients, strict=True):
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g**2
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            with torch.no_grad():
                value -= self.settings.learning_rate * m / (v.sqrt() + 1.5e-4)
        if self.t % self.settings.target_every == 0:
            self.target = {name: value.detach().clone() for name, value in self.q.items()}
        return {"loss": loss.item(), "action_value": chosen.mean().item(), "td_error": error.mean().item()}


@pytest.mark.parametrize("double", [False, True])
def test_whole_updates_equal_an_independent_float64_computation(double):
    agent = make_agent(settings=DQNSettings(hidden_width=16, learning_rate=1e-3, target_every=2, double=double))
    reference = Reference(agent)
    for k in range(5):
        batch = make_batch(seed=k)
        metrics = agent.update(batch)
        for name, value in reference.step(batch).items():
            assert metrics[name].item() == pytest.approx(value, rel=1e-4, abs=1e-5), name
    for module, values in ((agent.network, reference.q), (agent.target_network, reference.target)):
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(parameter.double(), values[name].detach(), rtol=1e-4, atol=1e-5)
    for name, parameter in agent.network.named_parameters():
        state = agent.optimizer.state[parameter]
        torch.testing.assert_close(state["exp_avg"].double(), reference.m[name], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(state["exp_avg_sq"].double(), reference.v[name], rtol=1e-3, atol=1e-8)


def test_double_learning_values_the_networks_choice_with_the_target():
    agent = make_agent(settings=DQNSettings(hidden_width=16, double=True))
    with torch.no_grad():
        agent.target_network.get_parameter("head.2.bias").copy_(torch.tensor([0.0, 1.0, 2.0]) * 100)
        agent.network.get_parameter("head.2.bias").copy_(torch.tensor([2.0, 1.0, 0.0]) * 100)
    batch = make_batch()._replace(terminated=torch.zeros(1, BATCH))
    first = agent.target_network(batch.next_observations[0])[:, 0]
    torch.testing.assert_close(agent.targets(batch), batch.rewards + 0.9**batch.steps * first)


def test_termination_stops_the_bootstrap_and_truncation_does_not():
    agent = make_agent()
    batch = make_batch()
    assert torch.equal(agent.targets(batch._replace(terminated=torch.ones(1, BATCH))), batch.rewards)
    assert (agent.targets(batch._replace(terminated=torch.zeros(1, BATCH))) != batch.rewards).all()


def test_the_target_is_copied_at_its_exact_updates_also_inside_a_block():
    agent = make_agent(settings=DQNSettings(hidden_width=16, learning_rate=1e-3, target_every=3))
    alone = make_agent(settings=DQNSettings(hidden_width=16, learning_rate=1e-3, target_every=3))
    batches = make_batch(updates=8)
    address = agent.target_network.get_parameter("head.0.weight").data_ptr()
    for block in (slice(0, 2), slice(2, 7), slice(7, 8)):
        agent.update(Batch(*(tensor[block] for tensor in batches)))
    for k in range(6):
        alone.update(one_of(batches, k))
        same = torch.equal(
            alone.target_network.get_parameter("head.0.weight"), alone.network.get_parameter("head.0.weight")
        )
        assert same == (k in (2, 5)), f"after update {k + 1}"
    after_six = alone.network.state_dict()
    assert all(torch.equal(value, after_six[name]) for name, value in agent.target_network.state_dict().items())
    assert agent.target_network.get_parameter("head.0.weight").data_ptr() == address, "in place"


def test_k_updates_in_one_call_equal_k_calls_bit_by_bit():
    one, many = make_agent(), make_agent()
    batches = make_batch(updates=5)
    many.update(batches)
    for k in range(5):
        one.update(one_of(batches, k))
    assert_equal_states(one, many)


def test_two_agents_of_one_seed_are_equal_and_of_two_seeds_are_not():
    left, right, other = make_agent(3), make_agent(3), make_agent(4)
    for agent in (left, right, other):
        agent.act(np.zeros((4, *SHAPE), np.uint8), explore=True)
        agent.update(make_batch(updates=2))
    assert_equal_states(left, right)
    assert not torch.equal(left.network.get_parameter("head.0.weight"), other.network.get_parameter("head.0.weight"))


def test_a_loaded_agent_continues_bit_by_bit():
    agent = make_agent()
    agent.act(np.zeros((4, *SHAPE), np.uint8), explore=True)
    agent.update(make_batch(updates=3, seed=1))
    other = make_agent(seed=9)
    addresses = [parameter.data_ptr() for parameter in other.network.parameters()]
    other.load_state_dict(agent.state_dict())
    images = np.random.default_rng(1).integers(256, size=(4, *SHAPE), dtype=np.uint8)
    for each in (agent, other):
        each.update(make_batch(updates=2, seed=2))
    for _ in range(30):
        assert np.array_equal(agent.act(images, explore=True), other.act(images, explore=True))
    assert_equal_states(agent, other)
    assert addresses == [parameter.data_ptr() for parameter in other.network.parameters()], "loading is in place"


def test_a_saved_state_can_be_written_as_plain_memory():
    assert all(value.is_contiguous() for value in make_agent().state_dict().values())


def test_an_agent_of_another_size_is_refused_and_nothing_is_changed():
    wider = make_agent(settings=DQNSettings(hidden_width=17)).state_dict()
    agent = make_agent()
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    with pytest.raises(ValueError, match=r"'q.head.0.weight' has shape \(17, 64\), this one's \(16, 64\)"):
        agent.load_state_dict(wider)
    with pytest.raises(ValueError, match=r"lacks 'initial\.q\.encoder\.0\.bias'"):
        agent.load_state_dict({name: value for name, value in wider.items() if not name.startswith("initial")})
    assert all(torch.equal(value, before[name]) for name, value in agent.state_dict().items())


def test_an_update_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch):
    agents = [make_agent(), make_agent(settings=DQNSettings(hidden_width=16, double=True, target_every=1))]
    batches = make_batch(updates=2)

    def refuse(self, *args):
        raise AssertionError("a value was read back inside update")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    for agent in agents:
        agent.update(batches)


def test_the_plasticity_manager_is_asked_for_penalties_and_after_every_step():
    class Counting(Method):
        acts_every_step, has_penalty = True, True
        steps = 0

        def after_step(self, network: Network) -> None:
            type(self).steps += 1

        def penalty(self, network: Network) -> torch.Tensor:
            return network.module.get_parameter("head.2.bias").sum() * 1000

    agent, without = make_agent(), make_agent()
    manager = PlasticityManager(agent.plastic(), Counting(), Never())
    Counting.steps = 0  # the trial before a run asks for it too
    agent.update(make_batch(updates=3), manager)
    without.update(make_batch(updates=3))
    assert Counting.steps == 3
    assert (agent.network.get_parameter("head.2.bias") < without.network.get_parameter("head.2.bias")).all()


def test_an_injected_network_trains_saves_and_loads():
    agent, other = make_agent(), make_agent(seed=1)
    agent.update(make_batch(updates=3, seed=4))
    for each in (agent, other):
        PlasticityManager(each.plastic(), Injection(), Never()).act(Position(0, 0))
    old, trained = (agent.network.get_parameter(f"head.{part}.0.weight").clone() for part in ("old", "trained"))
    agent.update(make_batch(updates=2))
    other.load_state_dict(agent.state_dict())
    for each in (agent, other):
        each.update(make_batch(updates=3, seed=5))
    assert_equal_states(agent, other)
    assert torch.equal(agent.network.get_parameter("head.old.0.weight"), old)
    assert not torch.equal(agent.network.get_parameter("head.trained.0.weight"), trained)
    for name, parameter in agent.network.named_parameters():
        assert torch.equal(agent.target_network.get_parameter(name), parameter), f"{name} after update 8"
    with pytest.raises(ValueError, match="lacks"):
        agent.load_state_dict(make_agent().state_dict())


def assert_equal_states(left: DQN, right: DQN) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
