"""Continual backpropagation replaces the mature units of least utility, and only these."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from fire_rl.agents import SAC, SACSettings
from fire_rl.fire import ContinualBackprop, Never, PlasticityManager, hidden_layers, spell
from fire_rl.replay import Batch
from tests.fixtures.stepwise import KINDS, assert_resumes, begun, go_on, make_network, mlp, started, tensors, train


@pytest.mark.parametrize("kind", KINDS)
def test_mature_units_are_replaced_at_the_rate_and_none_before(kind):
    make, shape = KINDS[kind]
    module = make()
    method = ContinualBackprop(replacement_rate=0.03, maturity=12, decay=0.9)
    network = begun(method, make_network(module, torch.optim.SGD(module.parameters(), 0.01)))
    ages = {layer.name: torch.zeros(layer.shape, dtype=torch.int64) for layer in hidden_layers(module)}
    owed = dict.fromkeys(ages, 0.0)
    total = 0
    for _ in range(60):
        train(network, torch.randn(shape))
        births = {name: network.memory[f"{name}.birth"].clone() for name in ages}
        method.after_step(network)
        for name, age in ages.items():
            age += 1
            replaced = network.memory[f"{name}.birth"] != births[name]
            assert not (replaced & (age <= 12)).any(), "immature units are left alone"
            mature = int((age > 12).sum(-1).flatten()[0])
            owed[name] += 0.03 * mature
            each = set(replaced.sum(-1).flatten().tolist())
            assert each == {int(owed[name])}, "the same number in each member"
            owed[name] -= int(owed[name])
            age[replaced] = 0
            total += int(replaced.sum())
    assert method.figures(network) == {"replaced units": total}
    assert total > 20


@pytest.mark.parametrize("state", ["keep", "renew"])
@pytest.mark.parametrize("kind", KINDS)
def test_replaced_units_are_reset_and_the_others_are_untouched_bit_by_bit(kind, state):
    make, shape = KINDS[kind]
    module = make()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    method = ContinualBackprop(replacement_rate=0.25, maturity=4, optimizer=state)
    network = begun(method, make_network(module, optimizer))
    for _ in range(4):
        train(network, torch.randn(shape))
        method.after_step(network)
    train(network, torch.randn(shape))
    before = tensors(network)
    method.after_step(network)

    drawn = {name: torch.zeros_like(parameter, dtype=torch.bool) for name, parameter in module.named_parameters()}
    zeroed = {name: mask.clone() for name, mask in drawn.items()}
    for layer in hidden_layers(module):
        replaced = network.memory[f"{layer.name}.birth"] == 5
        assert replaced.sum(-1).unique().tolist() == [layer.shape[-1] // 4]
        for weights in (*layer.incoming, *layer.outgoing):
            weights.by_unit((drawn if weights is layer.incoming[0] else zeroed)[weights.name])[replaced] = True
    for name, parameter in module.named_parameters():
        written = drawn[name] | zeroed[name]
        assert not parameter[zeroed[name] & ~drawn[name]].any()
        assert torch.isin(parameter[drawn[name]], network.initial[name]).all(), "drawn from the initial weights"
        assert not drawn[name].any() or not torch.isin(parameter[drawn[name]], before[name][0]).all()
        for now, then in zip(tensors(network)[name], before[name], strict=True):
            assert torch.equal(now[~written], then[~written])
        for now, then in zip(tensors(network)[name][1:], before[name][1:], strict=True):
            assert torch.equal(now, then) if state == "keep" else not now[written].any()


@pytest.mark.parametrize("biases", ["keep", "correct"])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_read_a_constant_unit_are_corrected_for_it_where_asked(kind, biases):
    make, shape = KINDS[kind]
    module = make()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.rand_like(parameter))
    method = ContinualBackprop(replacement_rate=0.5, maturity=3, biases=biases)
    network = begun(method, make_network(module))
    inputs = torch.ones(shape)
    wanted = module(inputs)
    for _ in range(3):
        module(inputs)
        method.after_step(network)
    assert torch.equal(module(inputs), wanted)
    method.after_step(network)
    assert method.figures(network)["replaced units"] > 0
    close = torch.allclose(module(inputs), wanted, rtol=1e-4, atol=1e-4)
    assert close == (biases == "correct")


def test_under_a_constant_gradient_every_weight_old_or_new_moves_by_the_learning_rate():
    """This is a known property of Adam. With one step count for old and new weights, a new one would move further."""
    module = mlp().double()
    optimizer = torch.optim.Adam(module.parameters(), 0.001, betas=(0.9, 0.95), eps=0.0)  # averages over 20 steps
    method = ContinualBackprop(replacement_rate=0.05, maturity=7, optimizer="renew")
    network = begun(method, make_network(module, optimizer))
    for _ in range(120):
        module(torch.randn(4, 5, dtype=torch.float64))
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, -3.0)
        births = {layer.name: network.memory[f"{layer.name}.birth"].clone() for layer in hidden_layers(module)}
        before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
        optimizer.step()
        method.after_step(network)
        for layer in hidden_layers(module):
            replaced = network.memory[f"{layer.name}.birth"] != births[layer.name]
            for weights in (*layer.incoming, *layer.outgoing):
                weights.by_unit(before[weights.name])[replaced] = math.nan
        for name, parameter in module.named_parameters():
            moved = (parameter.detach() - before[name])[~before[name].isnan()]
            torch.testing.assert_close(moved, torch.full_like(moved, 0.001), rtol=1e-9, atol=1e-12)
    assert method.figures(network)["replaced units"] > 100


@pytest.mark.parametrize("state", ["keep", "renew"])
@pytest.mark.parametrize("biases", ["keep", "correct"])
def test_a_run_restored_in_the_middle_continues_bit_by_bit(biases, state):
    assert_resumes(ContinualBackprop(replacement_rate=0.05, maturity=6, biases=biases, optimizer=state))


def test_a_run_of_an_earlier_version_that_always_renewed_continues_to_renew():
    """There, `cbp` meant what is `cbp:optimizer=renew` now. A maturity below Adam's 50 steps changes the shapes."""
    renews, plain = (ContinualBackprop(replacement_rate=0.05, maturity=6, optimizer=each) for each in ("renew", "keep"))
    straight, before = started(renews), started(renews)
    go_on(*straight, range(40))
    go_on(*before, range(20))
    saved = {name.replace(spell(renews), spell(plain)): value for name, value in before[0].tensors().items()}
    manager, module, optimizer = started(plain)
    module.load_state_dict(before[1].state_dict())
    optimizer.load_state_dict(before[2].state_dict())
    manager.load_tensors(saved)
    go_on(manager, module, optimizer, range(20, 40))
    for name, value in straight[1].state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name
    names = {name.replace(spell(renews), spell(plain)) for name in straight[0].tensors()}
    assert manager.tensors().keys() == names, "and the next checkpoint says so"
    fresh = started(plain)
    go_on(*fresh, range(40))
    assert any(not torch.equal(fresh[1].state_dict()[name], value) for name, value in straight[1].state_dict().items())


def test_in_a_block_of_updates_it_acts_at_each_and_leaves_targets_alone():
    sizes = SACSettings(critic_width=8, critic_blocks=2, actor_width=8, batch_size=16, target_rate=0.0)
    agent = SAC(5, 2, sizes, seed=np.random.SeedSequence(0))
    manager = PlasticityManager(agent.plastic(), ContinualBackprop(replacement_rate=0.1, maturity=2), Never())
    target = {name: value.clone() for name, value in agent.target_critic.state_dict().items()}
    draw = partial(torch.randn, 7, 16)
    flags = torch.zeros(7, 16)
    agent.update(Batch(draw(5), draw(2).tanh(), draw(), draw(5), flags, steps=flags + 1), manager)
    # Of 32 units are due: 3.2 at the third step, then 0.2 + 2.9, 0.1 + 2.6, 0.7 + 2.7, 0.4 + 2.7. The actor has one
    # such layer, each of the two critics has two.
    assert manager.figures() == {"actor/replaced units": 14, "critic/replaced units": 4 * 14}
    assert all(torch.equal(value, target[name]) for name, value in agent.target_critic.state_dict().items())


def test_networks_that_it_cannot_work_on_are_refused():
    no_units = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="cbp: network 'net' has no hidden units whose weights are known"):
        ContinualBackprop().check(make_network(no_units))
    module = mlp()
    with pytest.raises(ValueError, match="optimizer NAdam cannot be renewed in place; known are"):
        ContinualBackprop(optimizer="renew").check(make_network(module, torch.optim.NAdam(module.parameters())))
    ContinualBackprop().check(make_network(module, torch.optim.NAdam(module.parameters())))
