"""Regularizers on particular networks: attention, grouped convolutions, norms, and injected or resumed networks."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from fire_rl.fire import Injection, Matrix, MethodNetwork, Network, PlasticityManager, Position, spell
from fire_rl.fire.regularizers import L2Init, Parseval, Spectral
from tests.fixtures.regularized import PENALTIES, STRONG, begun, gradients, manager_of, train
from tests.fixtures.small_q_network import injected, make_network, trained_network, values


def test_power_iteration_converges_to_the_largest_singular_value():
    torch.manual_seed(0)
    module = nn.Linear(40, 30, bias=False)
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    Spectral().begin(network)
    wanted = (torch.linalg.matrix_norm(module.weight.detach(), 2) ** 2 - 1) ** 2
    errors = []
    for _ in range(200):
        value: Any = Spectral(strength=1.0).penalty(network)
        errors.append((value.detach() - wanted).abs().item())
    assert errors[-1] < 1e-4 < errors[0]
    more = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    Spectral().begin(more)
    for _ in range(20):
        value = Spectral(strength=1.0, iterations=10).penalty(more)
    assert (value.detach() - wanted).abs().item() == pytest.approx(errors[-1], abs=1e-6)


def test_l2_init_knows_layers_on_several_devices():
    module = nn.Sequential(nn.Linear(3, 4, device="meta"), nn.Linear(4, 2))
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    value: Any = L2Init().penalty(Network("n", module, initial))
    assert value.device.type == "meta"


def test_a_matrix_of_zeros_has_a_penalty_and_no_gradient():
    module: Any = nn.Linear(4, 3)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    regularizer = Spectral(strength=1.0)
    regularizer.begin(network)
    value: Any = regularizer.penalty(network)
    value.backward()
    assert value.item() == 1.0
    assert not module.weight.grad.any()
    assert network.memory["weight"].norm().item() == pytest.approx(1.0)
    nn.init.eye_(module.weight)
    again: Any = regularizer.penalty(network)
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
    spectral: Any = gradients(Spectral(strength=1.0), network)["0.in_proj_weight"]
    assert all(part.any() for part in spectral.chunk(3))


def test_groups_of_a_convolution_are_separate_matrices():
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, 3, groups=2)
    module = nn.Sequential(convolution, nn.Flatten(), nn.Linear(6, 2))
    found = gradients(Parseval(strength=1.0), MethodNetwork("n", module, {}))["0.weight"]
    parts = [part.detach().flatten(1) for part in convolution.weight.chunk(2)]
    wanted = [4 * (64 / 3) ** 2 * (part @ part.T - 2 * torch.eye(3)) @ part for part in parts]
    torch.testing.assert_close(found, torch.cat(wanted).view(6, 2, 3, 3), rtol=1e-4, atol=1e-2)


def test_spectral_uses_the_gain_of_norms_and_leaves_embeddings():
    norm, linear = nn.LayerNorm(4), nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -3.0, 0.5, 2.0]))
        norm.bias.fill_(0.5)
        nn.init.eye_(linear.weight)
    module = nn.Sequential(nn.Embedding(5, 4), norm, linear, nn.PReLU())
    network = MethodNetwork("n", module, {}, generator=torch.Generator().manual_seed(0))
    regularizer = Spectral(strength=1.0, iterations=50)
    regularizer.begin(network)
    value: Any = regularizer.penalty(network)
    assert value.item() == pytest.approx((3.0**2 - 1) ** 2 + (4 * 0.5**2) ** 2, rel=1e-5)
    found = gradients(regularizer, network)
    assert {name for name, gradient in found.items() if gradient is None} == {"0.weight", "3.weight"}
    torch.testing.assert_close(found["1.weight"], torch.tensor([0.0, -96.0, 0.0, 0.0]))


class Maps(nn.Module):
    """Declares one of its two weights as a stack of matrices, one for each of `positions` positions."""

    def __init__(self, positions: int = 1) -> None:
        super().__init__()
        self.maps, self.weight = nn.Parameter(torch.randn(2, 4, 3)), nn.Parameter(torch.ones(4, 3))
        self.positions = positions

    def plastic_matrices(self) -> Any:
        yield Matrix("maps", self.maps, 4, 3, kernel_positions=self.positions)


@pytest.mark.parametrize("regularizer", [Parseval(outputs="include", norms="include"), Spectral()], ids=spell)
def test_a_weight_that_its_module_does_not_declare_is_no_gain_of_a_norm(regularizer):
    network = begun(Network("q", Maps(), {}), regularizer)
    network = replace(network, generator=torch.Generator())
    assert {name for name, gradient in gradients(regularizer, network).items() if gradient is not None} == {"maps"}


@pytest.mark.parametrize("regularizer", [Parseval(), Spectral()], ids=spell)
def test_kernel_positions_that_a_view_does_not_have_are_refused_at_the_start(regularizer):
    with pytest.raises(ValueError, match=r"matrix 'maps': kernel_positions=3 given, .* shape \(2, 4, 3\) do not"):
        regularizer.check(Network("q", Maps(positions=3), {}))


def test_a_frozen_output_layer_does_not_make_the_layer_before_it_one():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module[1].requires_grad_(False)
    assert gradients(Parseval(), MethodNetwork("q", module, {}))["0.weight"] is not None


@pytest.mark.parametrize("regularizer", PENALTIES, ids=spell)
def test_a_penalty_s_gradient_can_be_computed_once_and_scales(regularizer):
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


def test_l2_init_knows_the_initial_values_of_an_injected_head():
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
def test_power_iteration_in_a_resumed_run_continues_exactly(times):
    """The largest singular vectors that spectral keeps are saved and restored, also after injections."""

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
