"""Regularizers at work: what they pull where, what they leave alone, and how they go on in a resumed run."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn import DQN
from fire_rl.agents.dqn.settings import DQNSettings
from fire_rl.agents.sac import SAC
from fire_rl.agents.sac.settings import SACSettings
from fire_rl.fire import (
    Injection,
    Method,
    MethodNetwork,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    parse_regularizer,
    spell,
)
from fire_rl.fire.regularizers import REGULARIZERS, L2Init, Parseval, Regularizer, Spectral, WeightDecay
from fire_rl.replay import Batch
from tests.fixtures.small_q_network import FRAMES, injected, make_network, trained_network, values

STRONG = [L2Init(strength=0.1), Parseval(strength=0.1), Spectral(strength=0.1), WeightDecay(strength=10.0)]
PENALTIES = [regularizer for regularizer in STRONG if regularizer.has_penalty]


def manager_of(network: Network, *regularizers: Regularizer, method: Method | None = None) -> PlasticityManager:
    return PlasticityManager([network], method or NoMethod(), Never(), regularizers)


def train(network: Network, manager: PlasticityManager, steps: int, loss_weight: float = 1.0) -> None:
    """Updates on one batch, with all that the manager adds."""
    assert network.optimizer is not None
    for _ in range(steps):
        loss = loss_weight * network.module(FRAMES).square().mean()
        penalty = manager.penalty(network.name)
        network.optimizer.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
        network.optimizer.step()
        manager.after_step(network.name)


def begun(network: Network, regularizer: Regularizer) -> MethodNetwork:
    """The network with the regularizer's memory, as a manager gives it."""
    own = MethodNetwork("q", network.module, network.initial, network.optimizer, head=network.head)
    regularizer.check(own)
    regularizer.begin(own)
    return own


def gradients(regularizer: Regularizer, network: MethodNetwork) -> dict[str, Tensor | None]:
    value = regularizer.penalty(network)
    assert value is not None
    trained = {name: own for name, own in network.module.named_parameters() if own.requires_grad}
    found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
    return dict(zip(trained, found, strict=True))


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


def test_l2_init_pulls_back_to_the_first_day():
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


def test_weight_decay_shrinks_by_the_optimizer_s_own_rate():
    network = make_network()
    assert network.optimizer is not None
    train(network, manager_of(network), 1)
    network.optimizer.param_groups[0]["lr"] = 0.05
    before = values(network.module)
    WeightDecay(strength=0.2).after_step(network)
    for name, value in network.module.state_dict().items():
        torch.testing.assert_close(value, before[name] * (1 - 0.05 * 0.2))


@pytest.mark.parametrize("regularizer", PENALTIES, ids=spell)
def test_what_is_frozen_gets_no_gradient_and_does_not_count(regularizer):
    whole, partly = trained_network(), trained_network()
    encoder = partly.module.get_submodule("encoder").requires_grad_(False)
    partly.module.zero_grad()
    records = begun(whole, regularizer), begun(partly, regularizer)
    both = [regularizer.penalty(record) for record in records]
    assert both[0] is not None
    assert both[1] is not None
    assert both[1] < both[0]
    both[1].backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert partly.module.get_parameter("head.0.weight").grad is not None


def test_weight_decay_leaves_what_is_frozen():
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
    hidden = {"encoder.0.weight", "head.0.weight"}  # not the output layer's
    named = {"l2-init": everything, "parseval": hidden, "spectral": everything}
    for name, expected in named.items():
        regularizer: Any = REGULARIZERS[name]()
        found = gradients(regularizer, begun(network, regularizer))
        assert {key for key, value in found.items() if value is not None} == expected, name


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("regularizer", STRONG, ids=spell)
def test_an_injected_network_is_regularized_where_it_learns(regularizer, times):
    network = trained_network()
    manager = manager_of(network, regularizer, method=Injection())
    for update in range(times):
        manager.act(Position(update, update))
        train(network, manager, 2)
    frozen = {name for name, value in network.module.named_parameters() if not value.requires_grad}
    before = values(network.module)
    train(network, manager, 2)
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]) == (name in frozen), name


def test_l2_init_knows_the_first_day_of_an_injected_head():
    network = injected()
    assert network.optimizer is not None
    record = begun(network, L2Init(strength=1.0))
    for name, gradient in gradients(L2Init(strength=1.0), record).items():
        assert gradient is not None
        first = network.initial[name]
        torch.testing.assert_close(gradient, 2 * (network.module.get_parameter(name).detach() - first))
    assert any(name.startswith("head.trained.") for name in gradients(L2Init(strength=1.0), record))


def test_the_output_layer_of_an_injected_head_is_free_too():
    network = injected()
    found = gradients(Parseval(), begun(network, Parseval()))
    assert {name for name, gradient in found.items() if gradient is not None} == {
        "encoder.0.weight",
        "head.trained.0.weight",
    }


@pytest.mark.parametrize("times", [0, 1])
def test_a_resumed_run_iterates_on_exactly(times):
    """What spectral knows of the largest singular vectors is saved and put back, injections included."""

    def begin() -> tuple[Network, PlasticityManager]:
        network = make_network(torch.optim.SGD)
        return network, manager_of(network, Spectral(strength=0.01), L2Init(), method=Injection())

    network, manager = begin()
    train(network, manager, 3)
    for _ in range(times):
        manager.act(Position(3, 3))
        train(network, manager, 3)
    saved = copy.deepcopy((manager.state_dict(), manager.tensors(), values(network.module)))
    train(network, manager, 4)

    resumed, again = begin()
    again.load_state_dict(saved[0])
    resumed.module.load_state_dict(saved[2])
    again.load_tensors(saved[1])
    train(resumed, again, 4)
    for name, value in values(network.module).items():
        assert torch.equal(resumed.module.state_dict()[name], value), name

    forgetful, anew = begin()
    anew.load_state_dict(saved[0])
    forgetful.module.load_state_dict(saved[2])
    train(forgetful, anew, 4)
    name = "encoder.0.weight"
    assert not torch.equal(forgetful.module.state_dict()[name], values(network.module)[name]), "the memory matters"


def test_power_iteration_comes_to_the_largest_singular_value():
    torch.manual_seed(0)
    module = nn.Linear(40, 30, bias=False)
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    Spectral().begin(network)
    wanted = (torch.linalg.matrix_norm(module.weight.detach(), 2) ** 2 - 1) ** 2
    errors = []
    for _ in range(200):
        value = Spectral(strength=1.0).penalty(network)
        assert value is not None
        errors.append((value.detach() - wanted).abs().item())
    assert errors[-1] < 1e-4 < errors[0]
    more = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    Spectral().begin(more)
    for _ in range(20):
        value = Spectral(strength=1.0, iterations=10).penalty(more)
    assert value is not None
    assert (value.detach() - wanted).abs().item() == pytest.approx(errors[-1], abs=1e-6)


def test_a_matrix_of_zeros_has_a_penalty_and_no_gradient():
    module = nn.Linear(4, 3)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    regularizer = Spectral(strength=1.0)
    regularizer.begin(network)
    value = regularizer.penalty(network)
    assert value is not None
    value.backward()
    assert value.item() == 1.0
    assert module.weight.grad is not None
    assert not module.weight.grad.any()
    assert network.memory["weight"].norm().item() == pytest.approx(1.0)
    nn.init.eye_(module.weight)
    again = regularizer.penalty(network)
    assert again is not None
    assert again.item() == pytest.approx(0.0, abs=1e-6)


def test_attention_is_three_matrices_of_one_parameter():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2)
    network = MethodNetwork(
        "n", nn.ModuleList([attention, nn.Linear(8, 2)]), {}, generator=torch.Generator().manual_seed(0)
    )
    found = gradients(Parseval(strength=1.0), network)
    parts = [part.detach() for part in attention.in_proj_weight.chunk(3)]
    wanted = [4 * 64 * (part @ part.T - 2 * torch.eye(8)) @ part for part in parts]
    torch.testing.assert_close(found["0.in_proj_weight"], torch.cat(wanted))
    Spectral().begin(network)
    assert {"0.in_proj_weight.query", "0.in_proj_weight.value"} <= set(network.memory)
    spectral = gradients(Spectral(strength=1.0), network)["0.in_proj_weight"]
    assert spectral is not None
    assert all(part.any() for part in spectral.chunk(3))


def test_groups_of_a_convolution_are_matrices_by_themselves():
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, 3, groups=2)
    module = nn.Sequential(convolution, nn.Flatten(), nn.Linear(6, 2))
    found = gradients(Parseval(strength=1.0), MethodNetwork("n", module, {}))["0.weight"]
    parts = [part.detach().flatten(1) for part in convolution.weight.chunk(2)]
    wanted = [4 * (64 / 3) ** 2 * (part @ part.T - 2 * torch.eye(3)) @ part for part in parts]
    torch.testing.assert_close(found, torch.cat(wanted).view(6, 2, 3, 3), rtol=1e-4, atol=1e-2)


def test_spectral_knows_norms_by_their_gain_and_leaves_embeddings():
    norm, linear = nn.LayerNorm(4), nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -3.0, 0.5, 2.0]))
        norm.bias.fill_(0.5)
        nn.init.eye_(linear.weight)
    module = nn.Sequential(nn.Embedding(5, 4), norm, linear, nn.PReLU())
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    regularizer = Spectral(strength=1.0, iterations=50)
    regularizer.begin(network)
    value = regularizer.penalty(network)
    assert value is not None
    assert value.item() == pytest.approx((3.0**2 - 1) ** 2 + (4 * 0.5**2) ** 2, rel=1e-5)
    found = gradients(regularizer, network)
    assert {name for name, gradient in found.items() if gradient is None} == {"0.weight", "3.weight"}
    torch.testing.assert_close(found["1.weight"], torch.tensor([0.0, -96.0, 0.0, 0.0]))


@pytest.mark.parametrize("regularizer", PENALTIES, ids=spell)
def test_a_penalty_s_gradient_is_taken_once_and_scales(regularizer):
    network = begun(trained_network(), regularizer)
    memory = {name: value.clone() for name, value in network.memory.items()}
    once = gradients(regularizer, network)
    for name, value in memory.items():
        network.memory[name].copy_(value)
    value = regularizer.penalty(network)
    assert value is not None
    parameters = [network.module.get_parameter(name) for name in once]
    tripled = torch.autograd.grad(3 * value, parameters, allow_unused=True, retain_graph=True)
    for single, triple in zip(once.values(), tripled, strict=True):
        if single is not None and triple is not None:
            torch.testing.assert_close(triple, 3 * single)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(value, parameters, allow_unused=True)


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
