"""Regularizers: which weights each one changes, in which direction, and in training of both agents."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn import DQN
from fire_rl.agents.dqn.settings import DQNSettings
from fire_rl.agents.sac import SAC
from fire_rl.agents.sac.settings import SACSettings
from fire_rl.fire import MethodNetwork, Network, Never, NoMethod, PlasticityManager, parse_regularizer, spell
from fire_rl.fire.regularizers import REGULARIZERS, L2Init, Parseval, Regularizer, Spectral, WeightDecay
from fire_rl.replay import Batch
from tests.fixtures.regularized import PENALTIES, STRONG, begun, gradients, manager_of, train
from tests.fixtures.small_q_network import make_network, trained_network, values


@pytest.mark.parametrize("kind", REGULARIZERS.values())
def test_strength_0_changes_nothing(kind):
    with_it, without = make_network(), make_network()
    train(with_it, manager_of(with_it, kind(strength=0.0)), 5)
    train(without, manager_of(without), 5)
    for name, value in values(with_it.module).items():
        assert torch.equal(value, without.module.state_dict()[name]), name


@pytest.mark.parametrize("regularizer", STRONG, ids=spell)
def test_each_changes_what_is_learned_and_leaves_the_target(regularizer):
    with_it, without = trained_network(), trained_network()
    assert with_it.target is not None
    target = values(with_it.target)
    train(with_it, manager_of(with_it, regularizer), 5)
    train(without, manager_of(without), 5)
    name = "encoder.0.weight"
    assert not torch.equal(with_it.module.state_dict()[name], without.module.state_dict()[name])
    assert all(torch.equal(value, target[name]) for name, value in with_it.target.state_dict().items())


def test_l2_init_pulls_back_to_the_initial_values():
    network = trained_network()
    manager = manager_of(network, L2Init(strength=1.0))
    far = {name: (value - network.initial[name]).norm() for name, value in network.module.named_parameters()}
    train(network, manager, 300, loss_weight=0.0)
    for name, value in network.module.named_parameters():
        assert (value - network.initial[name]).norm() < 0.1 * far[name], name


def test_parseval_makes_rows_orthogonal_and_equally_long():
    network = trained_network()
    train(network, manager_of(network, Parseval(strength=1.0, scale=2.0)), 300, loss_weight=0.0)
    for name in ("encoder.0.weight", "head.0.weight"):
        rows = network.module.get_parameter(name).detach().flatten(1)
        torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(len(rows)), rtol=0, atol=0.02)


def test_spectral_brings_singular_values_to_1_and_biases_to_0():
    network = make_network()
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.mul_(2.0).add_(0.05)
    start = values(network.module)
    train(network, manager_of(network, Spectral(strength=1.0)), 300, loss_weight=0.0)
    for name, parameter in network.module.named_parameters():
        if name.endswith("weight"):
            largest = torch.linalg.matrix_norm(parameter.detach().flatten(1), 2).item()
            assert largest == pytest.approx(1.0, abs=0.03), name
        else:
            assert parameter.norm() < 0.8 * start[name].norm(), name


@pytest.mark.parametrize("regularizer", PENALTIES, ids=spell)
def test_penalties_do_not_depend_on_autocast_around_them(regularizer):
    found = []
    for enabled in (False, True):
        network = trained_network()
        manager = manager_of(network, regularizer)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            penalty = manager.penalty("q")
        assert penalty is not None
        parameters = list(network.module.parameters())
        found.append([penalty, *torch.autograd.grad(penalty, parameters, materialize_grads=True)])
    assert all(map(torch.equal, *found))


def test_weight_decay_shrinks_by_the_optimizer_s_own_rate():
    network = make_network()
    train(network, manager_of(network), 1)
    network.optimizer.param_groups[0]["lr"] = 0.05
    before = values(network.module)
    WeightDecay(strength=0.2).after_step(network)
    for name, value in network.module.state_dict().items():
        torch.testing.assert_close(value, before[name] * (1 - 0.05 * 0.2))


@pytest.mark.parametrize("regularizer", PENALTIES, ids=spell)
def test_frozen_weights_get_no_gradient_and_do_not_count(regularizer):
    whole, partly = trained_network(), trained_network()
    encoder = partly.module.get_submodule("encoder").requires_grad_(False)
    partly.module.zero_grad()
    records = begun(whole, regularizer), begun(partly, regularizer)
    both: Any = [regularizer.penalty(record) for record in records]
    assert both[0] is not None
    assert both[1] < both[0]
    both[1].backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert partly.module.get_parameter("head.0.weight").grad is not None


def test_weight_decay_leaves_frozen_weights():
    network = make_network()
    train(network, manager_of(network), 1)
    network.module.get_submodule("encoder").requires_grad_(False)
    before = values(network.module)
    WeightDecay(strength=1.0).after_step(network)
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("encoder"), name


def test_gradients_fall_only_on_what_the_equations_name():
    network = trained_network()
    everything = set(values(network.module))
    hidden = {"encoder.0.weight", "head.0.weight"}  # without the output layer's
    named = {"l2-init": everything, "parseval": hidden, "spectral": everything}
    for name, expected in named.items():
        regularizer: Any = REGULARIZERS[name]()
        found = gradients(regularizer, begun(network, regularizer))
        assert {key for key, value in found.items() if value is not None} == expected, name


def sac_step(regularizers: tuple[Regularizer, ...]) -> dict[str, Tensor]:
    agent = SAC(5, 2, SACSettings(critic_width=16, actor_width=8), seed=np.random.SeedSequence(0))
    manager = PlasticityManager(agent.plastic(), NoMethod(), Never(), regularizers)
    draw = torch.Generator().manual_seed(0)
    flat = (3, 8)
    batches = Batch(
        torch.randn(*flat, 5, generator=draw),
        torch.rand(*flat, 2, generator=draw) * 2 - 1,
        torch.randn(*flat, generator=draw),
        torch.randn(*flat, 5, generator=draw),
        torch.zeros(flat),
        torch.ones(flat),
    )
    agent.update(batches, manager)
    return values(agent.critic) | {f"actor.{name}": value for name, value in values(agent.actor).items()}


def dqn_step(regularizers: tuple[Regularizer, ...]) -> dict[str, Tensor]:
    agent = DQN((6,), 3, DQNSettings(hidden_width=16), seed=np.random.SeedSequence(0))
    manager = PlasticityManager(agent.plastic(), NoMethod(), Never(), regularizers)
    draw = torch.Generator().manual_seed(0)
    flat = (3, 8)
    batches = Batch(
        torch.randn(*flat, 6, generator=draw),
        torch.randint(3, flat, generator=draw),
        torch.randn(*flat, generator=draw),
        torch.randn(*flat, 6, generator=draw),
        torch.zeros(flat),
        torch.ones(flat),
    )
    agent.update(batches, manager)
    return values(agent.network)


@pytest.mark.parametrize("step", [sac_step, dqn_step])
def test_agents_train_with_one_and_with_all_of_them(step):
    plain, every = step(()), step(tuple(STRONG))
    assert all(value.isfinite().all() for value in every.values())
    for regularizer in STRONG:
        alone = step((regularizer,))
        assert any(not torch.equal(alone[name], value) for name, value in plain.items()), spell(regularizer)
        assert any(not torch.equal(alone[name], value) for name, value in every.items())


@pytest.mark.parametrize("text", ["l2-init", "parseval:strength=0.01,groups=4", "spectral:k=1", "weight-decay"])
def test_they_are_spelled_as_methods_are(text):
    regularizer = parse_regularizer(text)
    assert spell(regularizer) == text
    assert not regularizer.acts_at_events
    assert regularizer.has_penalty != regularizer.acts_every_step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l2-init:strength=-1", "strength=-1.0 given"),
        ("weight-decay:strength=inf", "strength=inf given"),
        ("parseval:scale=0", "scale=0.0 given"),
        ("parseval:groups=0", "groups=0 given"),
        ("spectral:k=0", "k=0 given"),
        ("spectral:iterations=0", "iterations=0 given"),
    ],
)
def test_wrong_values_are_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_regularizer(text)
    assert "\n" not in str(error.value)


class Unknown(nn.Module):
    """A layer whose weight's shape does not say which side is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 4))


@pytest.mark.parametrize(
    ("regularizer", "network", "message"),
    [
        (Parseval(), Network("n", Unknown(), {}), "weight 'weight'"),
        (Spectral(), Network("n", Unknown(), {}), "weight 'weight'"),
        (
            Parseval(groups=5),
            MethodNetwork("n", nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), {}),
            "not divide the 4 units of '0",
        ),
        (L2Init(), Network("n", nn.Linear(2, 2), {}), "no initial value"),
        (WeightDecay(), Network("n", nn.Linear(2, 2), {}), "has no optimizer"),
    ],
)
def test_networks_that_they_cannot_work_on_are_refused(regularizer, network, message):
    with pytest.raises(ValueError, match=message):
        regularizer.check(network)
