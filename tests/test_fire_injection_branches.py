"""An injected network is resumed, and continues under other methods, as in a branch of an injected trunk."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from fire_rl.agents.sac.networks import Linear
from fire_rl.fire import (
    Fire,
    Injection,
    Network,
    Never,
    PlasticityManager,
    Reset,
    ShrinkPerturb,
    fire_,
    restore_structure,
    take_inventory,
)
from tests.fixtures.small_q_network import (
    FRAMES,
    act,
    first_head,
    injected,
    make_network,
    train,
    trained_network,
    values,
)


@pytest.mark.parametrize(
    "methods", [[Injection()], [Injection(), Injection()], [Fire(), Injection(), Reset(), Injection(optimizer="keep")]]
)
def test_a_resumed_network_has_the_structure_before_its_tensors_are_loaded(methods):
    network: Any = trained_network()
    manager = act(network, *methods)
    train(network)
    resumed: Any = make_network(seed=7)
    PlasticityManager([resumed], Fire(), Never()).load_state_dict(manager.state_dict())
    resumed.module.load_state_dict(network.module.state_dict())
    resumed.target.load_state_dict(network.target.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(network.optimizer.state_dict()))
    assert list(resumed.initial) == list(network.initial)
    for key, value in resumed.initial.items():
        value.copy_(network.initial[key])
    for one in (network, resumed):
        train(one, seed=9)
        act(one, Injection(), ShrinkPerturb())
        train(one, seed=10)
    for one, other in ((network.module, resumed.module), (network.target, resumed.target)):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("earlier_version", [False, True])
def test_a_policy_takes_the_recorded_structure_without_the_user_s_own_method(earlier_version):
    network: Any = trained_network()
    manager = act(network, Injection(), Fire(), Injection())
    state = manager.state_dict()
    state["latest"]["somewhere:Unknown"] = state["latest"]["fire"]
    if earlier_version:
        events = [event.to_json() for event in manager.events]
        state = {"events": [events[0], events[1] | {"method": "somewhere:Unknown"}, events[2]]}
    policy: Any = make_network(seed=7)
    restore_structure([policy], state)
    policy.module.load_state_dict(network.module.state_dict())
    assert torch.equal(policy.module(FRAMES), network.module(FRAMES))


def test_a_change_of_structure_by_a_user_s_own_method_is_refused():
    state = {"event_count": 1, "latest": {}, "structure": [{"method": "somewhere:Unknown", "network": "q"}]}
    with pytest.raises(ValueError, match="'somewhere:Unknown', which is neither built in nor this run's own"):
        restore_structure([make_network()], state)


@pytest.mark.parametrize("again", [[], [Injection()]])
def test_a_full_reset_gives_the_outputs_of_the_initial_network(again):
    network: Any = injected(*again, Reset())
    wanted = make_network().module(FRAMES)
    assert torch.equal(network.module(FRAMES), wanted)
    assert torch.equal(network.target(FRAMES), wanted)


def test_a_reset_of_the_head_gives_the_initial_head():
    network: Any = injected()
    encoder = values(network.module.encoder)
    act(network, Reset(scope="head"))
    features = network.module.encoder(FRAMES)
    assert torch.equal(network.module.head(features), first_head()(features))
    assert all(torch.equal(value, encoder[name]) for name, value in network.module.encoder.state_dict().items())


def test_shrink_and_perturb_mixes_old_and_learning_head_and_leaves_the_frozen_copy():
    network: Any = injected()
    before = values(network.module)
    act(network, ShrinkPerturb(keep=0.5))
    for name, value in network.module.state_dict().items():
        torch.testing.assert_close(value, (before[name] + network.initial[name]) / 2)
        if name.startswith("head.frozen."):
            torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("again", [[], [Injection()]])
def test_fire_projects_what_learns_and_leaves_what_is_frozen(again):
    network: Any = injected(*again)
    before = values(network.module)
    event = act(network, Fire(solver="exact")).events[0]
    changed = {name for name, value in network.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"encoder.0.weight", "head.trained.0.weight", "head.trained.2.weight"}
    assert {row.name for row in event.networks[0].matrices} == changed
    assert all(row.deviation_after < 1e-6 for row in event.networks[0].matrices)
    assert torch.equal(network.target(FRAMES), network.module(FRAMES))


def test_parts_of_the_head_lie_within_the_head():
    network: Any = injected()
    before = values(network.module)
    act(network, Fire(scope="head"))
    changed = {name for name, value in network.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.trained.0.weight", "head.trained.2.weight"}
    act(network, Fire(scope="encoder", outside="reset"))
    assert torch.equal(network.module.head(torch.ones(1, 64)), first_head()(torch.ones(1, 64)))


def test_fire_lists_the_frozen_parts_as_left():
    network: Any = injected()
    report = fire_(network.module)
    assert {"head.old.0.weight", "head.frozen.2.weight", "head.trained.0.bias"} < set(report.left)
    assert [matrix.name for matrix in report.matrices] == ["encoder.0.weight", *trained_matrices()]


def trained_matrices() -> list[str]:
    return ["head.trained.0.weight", "head.trained.2.weight"]


def test_a_module_that_declares_its_matrices_declares_them_within_an_injected_head():
    module = nn.ModuleDict({"encoder": nn.Linear(4, 6), "value": Linear(6, 1, members=2)})
    for parameter in module["value"].parameters():
        nn.init.normal_(parameter)
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    network = Network("critic", module, initial, head=("value",))
    act(network, Injection())
    inventory = take_inventory(module).declared()
    assert [(matrix.name, matrix.d_out, matrix.d_in) for matrix in inventory.matrices] == [
        ("encoder.weight", 6, 4),
        ("value.trained.weight", 1, 6),
    ]
    act(network, Fire(solver="exact"), Reset())
    head: Any = module["value"]
    assert torch.equal(head.trained.weight, initial["value.old.weight"])


def test_the_record_holds_the_matrices_that_keep_their_name():
    network: Any = trained_network()
    first, second = act(network, Injection(), Injection()).events
    assert first.method == second.method == "injection"
    assert [row.name for row in first.networks[0].matrices] == ["encoder.0.weight"]
    assert [row.name for row in second.networks[0].matrices] == ["encoder.0.weight", *trained_matrices()]
    for event in (first, second):
        assert all(row.squared_frobenius_error == 0.0 for row in event.networks[0].matrices)
        assert all(row.deviation_after == row.deviation_before for row in event.networks[0].matrices)
