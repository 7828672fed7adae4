"""ReDo on our networks: dormant units are reset, and active units stay equal bit by bit."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Critic
from fire_rl.fire import Injection, Never, PlasticityManager, Position, Redo, parse_method
from tests.fixtures.method_networks import addresses, network_of
from tests.fixtures.small_q_network import values


def trained(module: nn.Module, loss: Any) -> torch.optim.Optimizer:
    """Return an optimizer after three steps."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return optimizer


def make_q_network() -> tuple[Any, Tensor]:
    """Return a Q-network with dead units: channels 3 and 4, and units 0 and 7 of the linear layer."""
    torch.manual_seed(0)
    module = make_network("minatar", (2, 6, 6), actions=3, width=12)
    module.initialise(torch.Generator().manual_seed(0))
    observations = torch.rand(9, 2, 6, 6)
    optimizer = trained(module, lambda: module(observations).square().mean())
    with torch.no_grad():
        for name, bias, dead in (("encoder.0.bias", 1.0, [3, 4]), ("head.0.bias", 50.0, [0, 7])):
            module.get_parameter(name).fill_(bias)
            module.get_parameter(name)[dead] = -50.0
    initial = {name: 100.0 + torch.rand_like(value) for name, value in module.state_dict().items()}
    target = make_network("minatar", (2, 6, 6), actions=3, width=12)
    target.initialise(torch.Generator().manual_seed(3))
    loss = lambda: module(observations).square().mean()  # noqa: E731
    return network_of(
        module, loss, initial, optimizer, target=target, encoder=("encoder",), head=("head",)
    ), observations


def make_critic() -> tuple[Any, tuple[Tensor, Tensor]]:
    """Return a critic of two members: one has a dead unit, one has two dead units and activations times 1,000."""
    critic = Critic(5, 2, width=6, blocks=1, members=2)
    critic.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(16, 5, generator=generator), torch.randn(16, 2, generator=generator)
    loss = lambda: critic(*inputs).square().mean()  # noqa: E731
    optimizer = trained(critic, loss)
    with torch.no_grad():
        critic.get_parameter("encoder.blocks.0.expand.weight")[1] *= 1000.0
        critic.get_parameter("encoder.blocks.0.expand.bias")[0, 0, 3] = -1e6
        critic.get_parameter("encoder.blocks.0.expand.bias")[1, 0, [5, 20]] = -1e6
    return network_of(critic, loss, None, optimizer), inputs


def test_without_a_threshold_no_output_changes_bit_by_bit():
    network, observations = make_q_network()
    before = network.module(observations)
    figures = dict(Redo(tau=0.0).act(network))
    assert torch.equal(network.module(observations), before)
    assert figures == {"reset encoder.1": 2, "units encoder.1": 16, "reset head.1": 2, "units head.1": 12}
    # The units are alive again: their weights are drawn from initial ones, which are about 100 here.
    assert Redo(tau=0.0).act(network) == figures | {"reset encoder.1": 0, "reset head.1": 0}


def test_of_a_flattened_channel_its_own_weights_are_zeroed_and_no_others():
    network, _ = make_q_network()
    before = values(network.module)["head.0.weight"].view(12, 16, 16)
    Redo(tau=0.0).act(network)
    after = network.module.get_parameter("head.0.weight").view(12, 16, 16)
    active = [unit for unit in range(12) if unit not in (0, 7)]
    rest = [channel for channel in range(16) if channel not in (3, 4)]
    assert torch.equal(after[active][:, rest], before[active][:, rest])
    # also from a dormant channel to a dormant unit, which is drawn first
    assert not after[:, [3, 4]].any()
    assert (after[[0, 7]][:, rest] >= 100.0).all()


def test_active_units_are_left_alone_bit_by_bit_moments_too():
    network, _ = make_q_network()
    module, optimizer = network.module, network.optimizer
    before = values(module)
    moments = {name: optimizer.state[p]["exp_avg"].clone() for name, p in module.named_parameters()}
    Redo(tau=0.0, step_count="renew").act(network)
    reset = {name: torch.zeros(value.shape, dtype=torch.bool) for name, value in before.items()}
    reset["encoder.0.weight"][[3, 4]] = reset["encoder.0.bias"][[3, 4]] = True
    reset["head.0.weight"][[0, 7]] = reset["head.0.bias"][[0, 7]] = True
    reset["head.0.weight"].view(12, 16, 16)[:, [3, 4]] = True
    reset["head.2.weight"][:, [0, 7]] = True
    for name, parameter in module.named_parameters():
        state = optimizer.state[parameter]
        assert torch.equal(parameter[~reset[name]], before[name][~reset[name]]), name
        assert torch.equal(state["exp_avg"][~reset[name]], moments[name][~reset[name]]), name
        assert moments[name][~reset[name]].any(), name
        assert not state["exp_avg"][reset[name]].any(), name
        assert not state["exp_avg_sq"][reset[name]].any(), name
        assert state["step"] == (3.0 if name == "head.2.bias" else 0.0)


def test_step_counts_stay_where_no_unit_was_reset():
    network, _ = make_q_network()
    Redo(tau=0.0).act(network)
    assert Redo(tau=0.0, step_count="renew").act(network)["reset encoder.1"] == 0
    assert all(state["step"] == 3 for state in network.optimizer.state.values())


def test_every_member_has_its_own_units_and_its_own_mean():
    network, inputs = make_critic()
    before, outputs = values(network.module), network.module(*inputs)
    assert Redo(tau=0.0).act(network) == {
        "reset encoder.blocks.0.activation": 3,
        "units encoder.blocks.0.activation": 48,
    }
    assert torch.equal(network.module(*inputs), outputs)
    changed = (
        network.module.get_parameter("encoder.blocks.0.expand.weight") != before["encoder.blocks.0.expand.weight"]
    ).any(1)
    assert changed.nonzero().tolist() == [[0, 3], [1, 5], [1, 20]]
    outgoing = network.module.get_parameter("encoder.blocks.0.contract.weight")
    zero = (outgoing == 0).all(-1)
    assert zero.nonzero().tolist() == [[0, 3], [1, 5], [1, 20]]
    # The other member's large activations make no unit of the first one dormant.
    network, _ = make_critic()
    assert Redo(tau=0.01).act(network)["reset encoder.blocks.0.activation"] < 12


def test_the_result_depends_only_on_the_state_of_the_generator():
    def weights(seed: int) -> Tensor:
        network, _ = make_q_network()
        network.generator.manual_seed(seed)
        Redo().act(network)
        return network.module.get_parameter("encoder.0.weight").clone()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_target_is_kept_or_given_the_same_weights():
    network, _ = make_q_network()
    before = values(network.target)
    Redo(tau=0.0).act(network)
    assert all(torch.equal(value, before[name]) for name, value in network.target.state_dict().items())
    network, _ = make_q_network()
    Redo(tau=0.0, target="same").act(network)
    old, new = before["head.0.weight"].view(12, 16, 16), network.target.get_parameter("head.0.weight").view(12, 16, 16)
    changed = torch.zeros(12, 16, 1, dtype=torch.bool)
    changed[[0, 7]], changed[:, [3, 4]] = True, True
    assert torch.equal(new, old.where(~changed, network.module.get_parameter("head.0.weight").view(12, 16, 16)))
    assert torch.equal(network.target.get_parameter("head.2.bias"), before["head.2.bias"])


def test_outgoing_weights_may_be_drawn():
    network, _ = make_q_network()
    Redo(tau=0.0, outgoing="draw").act(network)
    assert (network.module.get_parameter("head.2.weight")[:, [0, 7]] >= 100.0).all()


def test_in_every_part_of_an_injected_head_weights_from_dormant_units_are_zero():
    network, observations = make_q_network()
    network.initial.update({name: value.clone() for name, value in network.module.state_dict().items()})
    Injection().restructure(network)
    before = network.module(observations)
    Redo(tau=0.0).act(network)
    assert torch.equal(network.module(observations), before)
    for part in ("old", "trained", "frozen"):
        assert not network.module.get_parameter(f"head.{part}.0.weight").view(12, 16, 16)[:, [3, 4]].any()


def test_everything_is_written_in_place():
    network, _ = make_q_network()
    before = addresses(network)
    Redo(tau=0.5, target="same", step_count="renew").act(network)
    assert addresses(network) == before


def test_every_moment_of_any_optimizer_is_reset():
    network, _ = make_q_network()
    optimizer = torch.optim.SGD(network.module.parameters(), lr=0.0, momentum=0.9)
    network.loss().backward()
    optimizer.step()
    with torch.no_grad():
        for state in optimizer.state.values():
            state["momentum_buffer"].fill_(2.0)
    Redo(tau=0.0).act(network_of(network.module, network.loss, network.initial, optimizer))
    buffer = optimizer.state[network.module.get_parameter("encoder.0.bias")]["momentum_buffer"]
    assert (buffer == 0).nonzero().flatten().tolist() == [3, 4]


def test_the_manager_records_how_many_units_were_reset():
    network, _ = make_q_network()
    manager = PlasticityManager([network], parse_method("redo:tau=0"), Never())
    event = manager.act(Position(updates=0, progress=0), {"q": network.loss})
    assert event.method == "redo:tau=0.0"
    assert event.networks[0].outcome["reset encoder.1"] == 2


def test_of_several_passes_the_trained_one_decides():
    network, observations = make_q_network()
    loss = network.loss

    def loss_with_targets() -> Tensor:
        value = loss()
        with torch.no_grad():
            network.module(torch.full_like(observations, -1e3))  # here, other units are dormant
        return value

    expected = dict(Redo(tau=0.0).act(make_q_network()[0]))
    assert Redo(tau=0.0).act(replace(network, loss=loss_with_targets)) == expected


def test_no_network_is_changed_if_a_loss_does_not_run_one_of_them():
    first, second = (replace(make_q_network()[0], name=name) for name in ("first", "second"))
    manager = PlasticityManager([first, second], Redo(), Never())
    before = values(first.module)
    with pytest.raises(ValueError, match="network 'second': redo: none of its hidden layers was seen to run"):
        manager.act(Position(0, 0), {"first": first.loss, "second": first.loss})
    assert all(torch.equal(value, before[name]) for name, value in first.module.state_dict().items())


def test_computing_activations_moves_no_random_generator_and_no_running_mean():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 1)]
    module = nn.Sequential(*layers)
    inputs = torch.randn(20, 3)
    network = network_of(module, lambda: module(inputs).square().mean())
    means, stream = module.get_buffer("1.running_mean").clone(), torch.get_rng_state()
    Redo().act(network)
    assert torch.equal(module.get_buffer("1.running_mean"), means)
    assert torch.equal(torch.get_rng_state(), stream)


def test_wrong_settings_and_networks_are_refused():
    with pytest.raises(ValueError, match=r"tau=-0\.1 must be at least 0"):
        Redo(tau=-0.1)
    linear = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="no hidden layer"):
        Redo().check(network_of(linear, lambda: linear.weight.sum()))
