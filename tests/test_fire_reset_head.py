"""The reset of the head resets what was published, and keeps what belongs to the encoder."""

import copy
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Actor, Critic
from fire_rl.fire import (
    Companion,
    Injection,
    Network,
    Never,
    PlasticityManager,
    Position,
    Reset,
    ResetHead,
    parse_method,
)
from tests.fixtures.method_networks import addresses
from tests.fixtures.small_q_network import values


def trained(module: nn.Module, *inputs: Tensor, **names: Any) -> Any:
    """Return a network after three updates. Its target and companion have moved too."""
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, fused=True)
    temperature = nn.Parameter(torch.ones(()))
    temperature_optimizer = torch.optim.AdamW([temperature], lr=0.1)
    for _ in range(3):
        outputs = module(*inputs)
        outputs = outputs if isinstance(outputs, Tensor) else torch.stack(outputs)
        ((outputs - 3.0).square().mean() + temperature.square()).backward()
        optimizer.step()
        temperature_optimizer.step()
    target = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(1.0)
    companion = Companion("temperature", (temperature,), (torch.tensor(1.0),), temperature_optimizer)
    return Network("net", module, initial, optimizer, target, (companion,), encoder=("encoder",), **names)


def make_q_network() -> Any:
    module = make_network("minatar", (2, 5, 5), actions=3, width=8)
    module.initialise(torch.Generator().manual_seed(0))
    return trained(module, torch.rand(9, 2, 5, 5, generator=torch.Generator().manual_seed(1)), head=("head",))


def make_critic() -> Any:
    critic = Critic(5, 2, width=6, blocks=1, members=2)
    critic.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(16, 5, generator=generator), torch.randn(16, 2, generator=generator)
    return trained(critic, *inputs, head=("value",))


def make_actor() -> Any:
    actor = Actor(5, 2, width=6, blocks=1)
    actor.initialise(torch.Generator().manual_seed(0))
    return trained(actor, torch.randn(16, 5, generator=torch.Generator().manual_seed(1)), head=("mean", "log_std"))


@pytest.mark.parametrize("make", [make_q_network, make_critic, make_actor])
def test_the_head_is_reset_and_the_encoder_stays(make):
    network = make()
    before, target = values(network.module), values(network.target)
    moments = {name: network.optimizer.state[p]["exp_avg"].clone() for name, p in network.module.named_parameters()}
    figures = ResetHead().act(network)
    count = 0
    for name, parameter in network.module.named_parameters():
        state, in_head = network.optimizer.state[parameter], not name.startswith("encoder")
        count += parameter.numel() * in_head
        assert torch.equal(parameter, network.initial[name] if in_head else before[name]), name
        wanted = network.initial[name] if in_head else target[name]
        assert torch.equal(network.target.get_parameter(name), wanted), name
        assert torch.equal(state["exp_avg"], torch.zeros_like(parameter) if in_head else moments[name]), name
        assert state["exp_avg_sq"].any() != in_head, name
        assert state["step"] == (0 if in_head else 3), name
    assert figures == {"weights put back": count}
    assert network.companions[0].parameters[0] == 1
    assert not any(state["exp_avg"].any() for state in network.companions[0].optimizer.state.values())


def test_the_last_layer_alone_is_reset():
    network = make_q_network()
    before = values(network.module)
    ResetHead(layers="last").act(network)
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, network.initial[name] if name.startswith("head.2.") else before[name]), name
    assert network.optimizer.state[network.module.get_parameter("head.0.weight")]["step"] == 3
    assert network.optimizer.state[network.module.get_parameter("head.2.weight")]["step"] == 0
    network = make_actor()
    ResetHead(layers="last").act(network)
    for name in ("mean.weight", "log_std.bias"):
        assert torch.equal(network.module.get_parameter(name), network.initial[name])


def test_the_last_layer_is_the_last_one_with_a_matrix_and_not_a_norm():
    module: Any = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))
    network = trained(module, torch.randn(5, 3), head=("1",))
    assert ResetHead(layers="last").act(network) == {"weights put back": 4 * 4 + 4}
    assert torch.equal(module[1][0].weight, network.initial["1.0.weight"])
    norm = Network("norm", module, network.initial, head=("1.1",))
    with pytest.raises(ValueError, match=r"'norm' \(1\.1\) has no layer with a weight matrix: choose layers=all"):
        ResetHead(layers="last").check(norm)


def test_running_statistics_behind_the_last_layer_are_named():
    module = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4)))
    network = trained(module, torch.randn(5, 3), head=("1",))
    assert "may still belong to the old weights: 1.0, 1.2;" in ResetHead(layers="last").notes(network)[0]
    assert ResetHead().notes(network) == []


def test_settings_to_keep_are_respected():
    network = make_q_network()
    target, temperature = values(network.target), network.companions[0].parameters[0].clone()
    ResetHead(optimizer="keep", companions="keep", target="keep").act(network)
    assert all(torch.equal(value, target[name]) for name, value in network.target.state_dict().items())
    assert all(state["step"] == 3 and state["exp_avg"].any() for state in network.optimizer.state.values())
    assert network.companions[0].parameters[0] == temperature


def test_the_target_may_become_a_copy_and_the_whole_optimizer_new():
    network = make_q_network()
    ResetHead(optimizer="renew", target="copy").act(network)
    assert all(torch.equal(a, b) for a, b in zip(network.module.parameters(), network.target.parameters(), strict=True))
    assert not any(value.any() for state in network.optimizer.state.values() for value in state.values())


def test_weights_are_those_of_a_reset_with_the_heads_scope():
    one, other = make_q_network(), make_q_network()
    ResetHead().act(one)
    Reset(scope="head").act(other)
    assert all(torch.equal(a, b) for a, b in zip(one.module.parameters(), other.module.parameters(), strict=True))


def test_everything_is_written_in_place():
    network = make_critic()
    before = addresses(network)
    ResetHead().act(network)
    assert addresses(network) == before


@pytest.mark.parametrize("layers", ["all", "last"])
def test_every_part_of_an_injected_head_is_reset(layers):
    network = make_q_network()
    Injection().restructure(network)
    before = values(network.module)
    ResetHead(layers=layers).act(network)
    for part in ("old", "trained", "frozen"):
        for index in ("0", "2"):
            name = f"head.{part}.{index}.weight"
            put_back = layers == "all" or index == "2"
            wanted = network.initial[name] if put_back else before[name]
            assert torch.equal(network.module.get_parameter(name), wanted), name


def test_it_is_spelled_reset_head():
    assert parse_method("reset-head:layers=last,target=copy") == ResetHead(layers="last", target="copy")
    event = PlasticityManager([make_critic()], ResetHead(), Never()).act(Position(0, 0))
    assert event.method == "reset-head"
    assert event.networks[0].outcome == {"weights put back": 2 * (6 + 1)}  # as records of earlier versions have it
    assert "reset weights: 14" in str(event)


def test_wrong_settings_and_networks_are_refused():
    module: Any = nn.Sequential(nn.Linear(3, 2))
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="'plain' names no head"):
        ResetHead().check(Network("plain", module, initial))
    with pytest.raises(ValueError, match=r"no initial value for '0\.weight'"):
        ResetHead().check(Network("partial", module, {"0.bias": module[0].bias}, head=("0",)))
    odd = Network("odd", module, initial, torch.optim.Rprop(module.parameters()), head=("0",))
    with pytest.raises(ValueError, match=r"Rprop.*optimizer=keep"):
        ResetHead().check(odd)
    ResetHead(optimizer="keep").check(odd)
    with pytest.raises(ValueError, match="layers=first is not one of all, last"):
        ResetHead(layers=cast(Any, "first"))
