"""Regularizers after an injection, and in a resumed run."""

import copy

import pytest
import torch

from fire_rl.fire import Injection, Network, PlasticityManager, Position, spell
from fire_rl.fire.regularizers import L2Init, Parseval, Spectral
from tests.fixtures.regularized import STRONG, begun, gradients, manager_of, train
from tests.fixtures.small_q_network import injected, make_network, trained_network, values


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
