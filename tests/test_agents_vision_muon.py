"""Muon equals torch's Muon and its Adam part torch's Adam. Its state is renewed, saved and loaded."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from fire_rl.agents.learning import TrainedNetwork, copy_saved_
from fire_rl.agents.muon import Muon, muon_and_adam, rate_factor
from fire_rl.agents.vision import make_network
from fire_rl.fire import Network, Never, PlasticityManager, Position, measure, parse_method
from fire_rl.fire.network import renew_

SHAPES = ((40, 20), (20, 40), (30, 30), (768, 24))


def gradients(shape, count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def stepped(parameter, optimizer, given):
    for gradient in given:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_move_as_by_torch_s_muon_bit_by_bit(shape):
    one, other = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    theirs = torch.optim.Muon([other], lr=1e-2, weight_decay=0.0, momentum=0.95)
    moved = stepped(one, Muon([one], [True]), gradients(shape))
    assert torch.equal(moved, stepped(other, theirs, gradients(shape)))
    assert not torch.equal(moved, torch.ones(shape))


def test_other_parameters_move_as_by_torch_s_adam_bit_by_bit():
    one, other = (nn.Parameter(torch.ones(6, 5)) for _ in range(2))
    theirs = torch.optim.Adam([other], lr=1e-3, betas=(0.9, 0.95), eps=1e-10, fused=True)
    moved = stepped(one, Muon([one], [False]), gradients((6, 5)))
    assert torch.equal(moved, stepped(other, theirs, gradients((6, 5))))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (64, 3, 3, 3)])
def test_a_convolution_moves_as_the_matrix_of_its_flattened_filters(shape, memory_format):
    """Up to the factor in the learning rate of tall matrices, which convolutions do not have."""
    filters = nn.Parameter(torch.zeros(shape).to(memory_format=memory_format))
    flat = nn.Parameter(torch.zeros(shape).flatten(1))
    moved = stepped(filters, Muon([filters], [True]), gradients(shape))
    wanted = stepped(flat, Muon([flat], [True]), [each.flatten(1) for each in gradients(shape)])
    torch.testing.assert_close(moved.flatten(1) * rate_factor(flat), wanted, rtol=1e-6, atol=1e-8)
    assert filters.is_contiguous(memory_format=memory_format)


def test_a_stack_of_matrices_moves_as_each_by_itself():
    stack, alone = nn.Parameter(torch.zeros(2, 5, 7)), nn.Parameter(torch.zeros(5, 7))
    moved = stepped(stack, Muon([stack], [True]), gradients((2, 5, 7)))
    wanted = stepped(alone, Muon([alone], [True]), [each[1] for each in gradients((2, 5, 7))])
    assert torch.equal(moved[1], wanted)


def test_every_move_is_nearly_orthogonal():
    parameter = nn.Parameter(torch.zeros(30, 50))
    move = stepped(parameter, Muon([parameter], [True], learning_rate=1.0), gradients((30, 50), 1))
    singular = torch.linalg.svdvals(move)
    assert singular.min() > 0.3
    assert singular.max() < 1.3


def test_muon_has_the_published_parameters_of_each_network():
    chosen = {}
    for name, shape in {"resnet18": (3, 8, 8), "vit-tiny": (3, 8, 8), "vgg16": (3, 32, 32), "small": (1, 8, 8)}.items():
        module = make_network(name, shape, 10, seed=0)
        optimizer = muon_and_adam(module)
        (group,) = optimizer.param_groups
        assert all(one is other for one, other in zip(group["params"], module.parameters(), strict=True))
        assert (group["lr"], group["lr"] * group["muon_ratio"], group["betas"]) == (1e-3, 1e-2, (0.9, 0.95))
        names = [key for key, _ in module.named_parameters()]
        chosen[name] = {key for key, by_muon in zip(names, group["by_muon"], strict=True) if by_muon}
        for key, parameter in module.named_parameters():
            assert (key in chosen[name]) == (key.startswith("encoder.") and parameter.ndim >= 2), key
    assert {module_kind(key) for key in chosen["resnet18"]} == {"conv", "conv1", "conv2"}
    assert {"encoder.positions", "encoder.class_token", "encoder.patches.embed.weight"} <= chosen["vit-tiny"]
    assert len(chosen["vgg16"]) == 13


def module_kind(key):
    return key.split(".")[-2]


def trained():
    """Return the small network with Muon, and a loss on made-up images."""
    module = make_network("small", (1, 8, 8), 3, seed=0)
    network = TrainedNetwork("net", module, muon_and_adam(module), head=("head",))
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(12, 1, 8, 8, generator=generator), torch.randint(3, (12,), generator=generator)
    return network, lambda: functional.cross_entropy(module(images), labels)


def train(network, loss, updates=3):
    for _ in range(updates):
        network.step(loss())


def test_a_network_learns_all_its_parameters_and_continues_from_what_was_saved():
    network, loss = trained()
    train(network, loss)
    assert loss() < trained()[1]()
    assert all(not torch.equal(value, network.initial[name]) for name, value in network.module.named_parameters())
    saved = {name: value.clone() for name, value in network.tensors()}
    assert "optimizer.net.momentum_buffer.encoder.0.weight" in saved
    assert {"optimizer.net.exp_avg.head.1.weight", "optimizer.net.step.head.1.weight"} <= saved.keys()
    other, other_loss = trained()
    copy_saved_(dict(other.tensors()), saved)
    for pair in ((network, loss), (other, other_loss)):
        train(*pair)
    for one, another in zip(network.module.parameters(), other.module.parameters(), strict=True):
        assert torch.equal(one, another)


def test_after_a_renewal_it_steps_like_a_new_one():
    network, loss = trained()
    train(network, loss)
    twin = copy.deepcopy(network.module)
    renew_(network.optimizer)
    new = muon_and_adam(twin)
    for module, optimizer in ((network.module, network.optimizer), (twin, new)):
        given = torch.Generator().manual_seed(2)
        for _ in range(3):
            for parameter in module.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=given)
            optimizer.step()
    for one, another in zip(network.module.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, another)


@pytest.mark.parametrize("method", ["fire", "redo:tau=0.9,step_count=renew", "injection", "cbp:maturity=0"])
def test_methods_work_on_a_network_with_muon(method):
    network, loss = trained()
    manager = PlasticityManager([network.plastic()], parse_method(method), Never())
    train(network, loss)
    if manager.method.acts_at_events:
        manager.act(Position(3, 3), {"net": loss})
    for _ in range(3):
        network.step(loss(), manager)
    assert all(value.isfinite().all() for _, value in network.tensors())


def test_a_rate_that_a_schedule_lowers_moves_both_kinds_less():
    network, loss = trained()
    (group,) = network.optimizer.param_groups
    group["lr"] = 0.0
    train(network, loss)
    assert all(torch.equal(value, network.initial[name]) for name, value in network.module.named_parameters())


def test_the_effective_learning_rate_is_that_of_each_part():
    module = nn.Sequential(nn.Linear(3, 12), nn.Linear(12, 3))
    optimizer = Muon(
        list(module.parameters()), [True, False, False, False], learning_rate=0.02, adam_learning_rate=1e-3
    )
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    found = measure(Network("classifier", module, initial, optimizer))
    rates = {"0.weight": 0.02 * 2, "1.weight": 1e-3}  # the factor of 12 rows and 3 columns is 2
    for name, rate in rates.items():
        expected = rate / module.get_parameter(name).norm().item()
        assert found[f"effective_learning_rate/{name}"] == pytest.approx(expected)


def test_parameters_that_are_not_matrices_are_refused():
    with pytest.raises(ValueError, match=r"shape \(5,\) given; allowed are two dimensions or more"):
        Muon([nn.Parameter(torch.ones(5))], [True])
    with pytest.raises(ValueError, match="1 parameters given, but 2 entries"):
        Muon([nn.Parameter(torch.ones(5))], [True, False])
