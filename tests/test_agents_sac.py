"""SAC makes the published update, checked against a computation in float64 that shares no code with it."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from fire_rl.agents import SAC, SACSettings, Surroundings
from fire_rl.agents.sac import KIND
from fire_rl.agents.sac.networks import Actor, Critic, squashed_sample
from fire_rl.agents.sac.statistics import RunningStatistics
from fire_rl.replay import Batch

OBSERVATION, ACTION, BATCH = 7, 3, 32
SMALL = SACSettings(
    critic_width=24, critic_blocks=2, actor_width=16, actor_blocks=1, batch_size=BATCH, learning_rate=1e-2
)


def make_agent(seed: int = 0, settings: SACSettings = SMALL, gamma: float = 0.97) -> SAC:
    return SAC(OBSERVATION, ACTION, settings, seed=np.random.SeedSequence(seed), gamma=gamma)


def make_batch(updates: int = 1, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    lead = (updates, BATCH)
    return Batch(
        torch.randn(*lead, OBSERVATION, generator=random) * 2 + 1,
        torch.rand(*lead, ACTION, generator=random) * 2 - 1,
        torch.randn(lead, generator=random),
        torch.randn(*lead, OBSERVATION, generator=random) * 2 + 1,
        (torch.rand(lead, generator=random) < 0.3).float(),
        torch.ones(lead),
    )


class Reference:
    """The published update written from its equations in float64, one critic at a time, with AdamW written out."""

    def __init__(self, agent: SAC) -> None:
        def doubles(module):
            return {name: value.detach().double().requires_grad_() for name, value in module.named_parameters()}

        self.actor, self.critic, self.target = map(doubles, (agent.actor, agent.critic, agent.target_critic))
        self.log_alpha = {"log_alpha": agent.log_temperature.detach().double().requires_grad_()}
        self.gamma, self.settings = agent.gamma, agent.settings
        self.moments: dict[int, dict[str, tuple[Any, Any, int]]] = {}

    def trunk(self, p, x, blocks, member=None):
        def get(name):
            value = p[f"encoder.{name}"]
            return value if member is None else value[member]

        x = x @ get("embed.weight") + get("embed.bias")
        for block in range(blocks):
            n = f"blocks.{block}."
            h = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
            h = h * get(n + "norm.weight") + get(n + "norm.bias")
            h = (h @ get(n + "expand.weight") + get(n + "expand.bias")).clamp(min=0)
            x = x + h @ get(n + "contract.weight") + get(n + "contract.bias")
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        return x * get("norm.weight") + get("norm.bias")

    def policy(self, x, noise):
        h = self.trunk(self.actor, x, 1)
        mean = h @ self.actor["mean.weight"] + self.actor["mean.bias"]
        raw = h @ self.actor["log_std.weight"] + self.actor["log_std.bias"]
        log_std = -10 + 6 * (1 + torch.tanh(raw))
        action = torch.tanh(mean + log_std.exp() * noise)
        normal = torch.distributions.Normal(mean, log_std.exp()).log_prob(mean + log_std.exp() * noise)
        return action, (normal - torch.log(1 - action**2)).sum(-1)

    def values(self, p, x, a):
        x = torch.cat((x, a), -1)
        members = []
        for member in range(2):
            h = self.trunk(p, x, 2, member)
            members.append((h @ p["value.weight"][member] + p["value.bias"][member]).squeeze(-1))
        return members

    def adamw(self, p, gradients, decay):
        rate = self.settings.learning_rate
        for (name, value), gradient in zip(p.items(), gradients, strict=True):
            m, v, t = self.moments.get(id(p), {}).get(name, (0.0, 0.0, 0))
            m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, t + 1
            self.moments.setdefault(id(p), {})[name] = (m, v, t)
            with torch.no_grad():
                value *= 1 - rate * decay
                value -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)

    def step(self, batch: Batch, noise: torch.Tensor) -> dict[str, float]:
        o, a, r, n, d, _ = (tensor.double() for tensor in batch)
        noise = noise.double()
        action, log_pi = self.policy(o, noise[0])
        alpha = self.log_alpha["log_alpha"].exp()
        actor_loss = (alpha.detach() * log_pi - torch.minimum(*self.values(self.critic, o, action))).mean()
        self.adamw(self.actor, torch.autograd.grad(actor_loss, list(self.actor.values())), self.settings.weight_decay)

        entropy = -log_pi.detach().mean()
        loss = self.log_alpha["log_alpha"].exp() * (entropy + 0.5 * ACTION)
        self.adamw(self.log_alpha, torch.autograd.grad(loss, list(self.log_alpha.values())), 0.0)

        with torch.no_grad():
            next_action, next_log_pi = self.policy(n, noise[1])
            alpha = self.log_alpha["log_alpha"].exp()
            soft = torch.minimum(*self.values(self.target, n, next_action)) - alpha * next_log_pi
            y = r + self.gamma * (1 - d) * soft
        q1, q2 = self.values(self.critic, o, a)
        critic_loss = ((q1 - y) ** 2 + (q2 - y) ** 2).mean()
        gradients = torch.autograd.grad(critic_loss, list(self.critic.values()))
        self.adamw(self.critic, gradients, self.settings.weight_decay)
        with torch.no_grad():
            for name, value in self.target.items():
                value.copy_(0.995 * value + 0.005 * self.critic[name])
        return {"actor_loss": actor_loss.item(), "critic_loss": critic_loss.item(), "entropy": entropy.item()}


def test_whole_updates_equal_an_independent_float64_computation():
    agent = make_agent()
    reference = Reference(agent)
    for k in range(3):
        batch = Batch(*(tensor[0] for tensor in make_batch(seed=k)))
        noise = agent.noise(1, BATCH)[0]
        metrics = agent.gradient_step(batch, noise)
        expected = reference.step(batch, noise)
        assert metrics[0].item() == pytest.approx(expected["actor_loss"], rel=1e-4, abs=1e-4)
        assert metrics[1].item() == pytest.approx(expected["critic_loss"], rel=1e-4)
        assert metrics[3].item() == pytest.approx(expected["entropy"], rel=1e-4, abs=1e-4)
    for module, values in (
        (agent.actor, reference.actor),
        (agent.critic, reference.critic),
        (agent.target_critic, reference.target),
    ):
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(parameter.double(), values[name].detach(), rtol=2e-4, atol=2e-4)
    assert agent.log_temperature.item() == pytest.approx(reference.log_alpha["log_alpha"].item(), abs=1e-5)


def test_one_critic_gradient_equals_the_reference_closely():
    agent = make_agent()
    reference = Reference(agent)
    batch = Batch(*(tensor[0] for tensor in make_batch()))
    targets = agent.critic_targets(batch, agent.noise(1, BATCH)[0, 1], agent.temperature)
    loss, _ = agent.critic_loss(batch, targets)
    loss.backward(inputs=agent.trained_critic.parameters)
    q1, q2 = reference.values(reference.critic, batch.observations.double(), batch.actions.double())
    expected = ((q1 - targets.double()) ** 2 + (q2 - targets.double()) ** 2).mean()
    gradients = torch.autograd.grad(expected, list(reference.critic.values()))
    for parameter, gradient in zip(agent.trained_critic.parameters, gradients, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.double(), gradient, rtol=1e-3, atol=1e-5)


def test_termination_stops_the_bootstrap_and_truncation_does_not():
    agent = make_agent()
    batch = Batch(*(tensor[0] for tensor in make_batch()))
    noise = agent.noise(1, BATCH)[0, 1]
    ended = agent.critic_targets(batch._replace(terminated=torch.ones(BATCH)), noise, agent.temperature)
    going_on = agent.critic_targets(batch._replace(terminated=torch.zeros(BATCH)), noise, agent.temperature)
    assert torch.equal(ended, batch.rewards)
    assert (going_on != batch.rewards).all()


def test_the_actor_step_computes_no_weight_gradients_of_the_critic():
    settings = SACSettings(critic_width=64, actor_width=8, batch_size=BATCH)
    agent = make_agent(settings=settings)
    observations = make_batch().observations[0]
    loss, _ = agent.actor_loss(observations, agent.noise(1, BATCH)[0, 0], agent.temperature)
    with FlopCounterMode(display=False) as counter:
        loss.backward(inputs=agent.trained_actor.parameters)
    weights = sum(p.numel() for n, p in agent.critic.named_parameters() if n.endswith("weight") and "norm" not in n)
    actor_weights = sum(
        p.numel() for n, p in agent.actor.named_parameters() if n.endswith("weight") and "norm" not in n
    )
    through_the_critic = 2 * BATCH * weights  # one product per layer: gradients of inputs, not of weights
    assert counter.get_total_flops() <= through_the_critic + 4 * BATCH * actor_weights
    assert all(parameter.grad is None for parameter in agent.trained_critic.parameters)


def test_an_update_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch):
    agent = make_agent()
    batches = make_batch(updates=2)

    def refuse(self, *args):
        raise AssertionError("a value was read back inside update")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    agent.update(batches)


def test_k_updates_in_one_call_equal_k_calls():
    one, many = make_agent(), make_agent()
    batches = make_batch(updates=4)
    many.update(batches)
    for k in range(4):
        one.update(Batch(*(tensor[k : k + 1] for tensor in batches)))
    for left, right in zip(one.state_dict().values(), many.state_dict().values(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_a_loaded_agent_continues_bit_by_bit():
    agent = make_agent()
    agent.observe(np.random.default_rng(0).normal(size=(5, OBSERVATION)))
    agent.update(make_batch(seed=1))
    other = make_agent(seed=9)
    other.load_state_dict(agent.state_dict())
    addresses = [parameter.data_ptr() for parameter in other.trained_critic.parameters]
    observations = np.random.default_rng(1).normal(size=(2, OBSERVATION))
    for each in (agent, other):
        each.update(make_batch(updates=2, seed=2))
        each.update(make_batch(updates=1, seed=3))
    assert np.array_equal(agent.act(observations, explore=True), other.act(observations, explore=True))
    assert all(
        torch.equal(left, right)
        for left, right in zip(agent.state_dict().values(), other.state_dict().values(), strict=True)
    )
    assert addresses == [parameter.data_ptr() for parameter in other.trained_critic.parameters], "loading is in place"


def test_an_agent_of_another_size_is_refused():
    wider = make_agent(settings=SACSettings(critic_width=32, actor_width=16, batch_size=BATCH))
    with pytest.raises(ValueError, match="shape"):
        make_agent().load_state_dict(wider.state_dict())


def test_evaluation_draws_nothing_and_changes_no_statistics():
    agent = make_agent()
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    agent.act(np.ones((3, OBSERVATION)), explore=False)
    assert all(torch.equal(value, before[name]) for name, value in agent.state_dict().items())


def test_the_squashed_density_is_that_of_the_transformed_distribution():
    torch.manual_seed(0)
    mean, log_std = torch.randn(50, 3, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    noise = torch.randn(50, 3, dtype=torch.float64)
    actions, log_density = squashed_sample(mean, log_std, noise)
    normal = torch.distributions.Normal(mean, log_std.exp())
    squashed = torch.distributions.TransformedDistribution(normal, torch.distributions.TanhTransform(cache_size=1))
    raw = mean + log_std.exp() * noise
    expected = normal.log_prob(raw) - torch.distributions.TanhTransform().log_abs_det_jacobian(raw, actions)
    torch.testing.assert_close(log_density, expected.sum(-1))
    torch.testing.assert_close(
        squashed.log_prob(actions.clamp(-1 + 1e-9, 1 - 1e-9)).sum(-1)[:5], log_density[:5], rtol=1e-3, atol=1e-3
    )


def test_networks_have_the_published_sizes_and_initial_values():
    generator = torch.Generator().manual_seed(0)
    critic, actor = Critic(51, 19, 512, 2, 2), Actor(51, 19, 128, 1)
    critic.initialise(generator)
    actor.initialise(generator)
    count = {
        name: sum(p.numel() for p in module.parameters()) for name, module in (("critic", critic), ("actor", actor))
    }
    assert count["critic"] == pytest.approx(8.48e6, rel=2e-3)
    assert count["actor"] == pytest.approx(0.144e6, rel=2e-2)
    embed = critic.get_parameter("encoder.embed.weight")
    for member in range(2):
        torch.testing.assert_close(embed[member] @ embed[member].T, torch.eye(70), rtol=0, atol=1e-5)
    assert not torch.equal(embed[0], embed[1])
    block = critic.get_parameter("encoder.blocks.0.expand.weight")
    sigma = math.sqrt(2 / 512)
    assert block.std().item() == pytest.approx(sigma, rel=0.01)
    assert block.abs().max().item() <= 2 * sigma / 0.87962566 + 1e-6
    assert all((p == 0).all() for n, p in critic.named_parameters() if n.endswith("bias"))


def test_ensemble_members_are_independent_networks():
    generator = torch.Generator().manual_seed(0)
    critic = Critic(OBSERVATION, ACTION, 16, 1, 2)
    critic.initialise(generator)
    batch = make_batch()
    both = critic(batch.observations[0], batch.actions[0])
    alone = Critic(OBSERVATION, ACTION, 16, 1, 1)
    for member in range(2):
        alone.load_state_dict({name: value[member : member + 1] for name, value in critic.state_dict().items()})
        torch.testing.assert_close(alone(batch.observations[0], batch.actions[0])[0], both[member])


def test_running_statistics_equal_those_of_all_data():
    data = np.random.default_rng(0).normal(3, 2, size=(500, 4))
    statistics = RunningStatistics(4)
    for start in range(0, 500, 5):
        statistics.update(torch.from_numpy(data[start : start + 5]))
    np.testing.assert_allclose(statistics.mean, data.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.variance, data.var(0), rtol=1e-5)
    normal = statistics.normalise(torch.from_numpy(data))
    assert normal.dtype == torch.float32
    assert functional.mse_loss(normal.std(0), torch.ones(4)).item() < 1e-4


@pytest.mark.parametrize(("decisions", "expected"), [(500, 0.99), (1000, 0.995), (20, 0.95), (None, 0.99)])
def test_the_discount_follows_the_published_rule(decisions, expected):
    assert SACSettings().discount(decisions) == pytest.approx(expected)
    assert SACSettings(gamma=0.5).discount(decisions) == 0.5


LARGEST = np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("actions", "complaint"),
    [
        (Box(-1, 1, (2,), np.int8), "floating-point actions, this environment's are Box(-1, 1, (2,), int8)"),
        (Box(0, 9, (2,), np.int64), "floating-point actions, this environment's are Box(0, 9, (2,), int64)"),
        (Box(-LARGEST, LARGEST, (2,)), "actions whose range float32 can hold, this environment's are Box(-3.40"),
        (Box(-np.inf, 1, (2,)), "bounded continuous actions, this environment's are Box(-inf, 1.0"),
    ],
)
def test_actions_that_cannot_be_scaled_to_their_bounds_are_refused_in_one_line(actions: Box, complaint: str):
    observations = Box(-1, 1, (3,))
    with pytest.raises(ValueError, match=f"^own:Task-v0: SAC needs {re.escape(complaint)}") as error:
        KIND.require(Surroundings("own:Task-v0", observations, actions, None, 1))
    assert "\n" not in str(error.value)
    KIND.require(Surroundings("own:Task-v0", observations, Box(-LARGEST / 2, LARGEST / 2, (2,)), None, 1))
