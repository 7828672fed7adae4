"""Each method does what was published: for SAC by its defaults, for DQN by other values of the same fields."""

import copy
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from fire_rl import fire
from fire_rl.fire import (
    Companion,
    Fire,
    Injection,
    MethodNetwork,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    Reset,
    ResetHead,
    ShrinkPerturb,
)
from tests.fixtures.small_q_network import values

DQN_FIRE = Fire(scope="encoder", outside="reset", optimizer="keep")
DQN_SHRINK_PERTURB = ShrinkPerturb(scope="encoder", outside="reset", optimizer="keep", target="same")


class Table(nn.Module):
    """A weight that may or may not be a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(3, 4))


def make_network() -> Any:
    """A trained network with all possible parts. Its target and companion have moved too."""
    torch.manual_seed(0)
    layers = {"encoder": nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)), "head": nn.Sequential(nn.Linear(4, 3))}
    module = nn.ModuleDict(layers)
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    target = copy.deepcopy(module)
    temperature = nn.Parameter(torch.tensor(-4.6))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    temperature_optimizer = torch.optim.AdamW([temperature], lr=0.1)
    for _ in range(3):
        features = module["encoder"](torch.randn(5, 2, 3, 3)).flatten(1)
        (module["head"](features).square().sum() + temperature.square()).backward()
        optimizer.step()
        temperature_optimizer.step()
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(torch.randn_like(parameter))
    companion = Companion("temperature", (temperature,), (torch.tensor(-4.6),), temperature_optimizer)
    return Network("q", module, initial, optimizer, target, (companion,), encoder=("encoder",), head=("head",))


def tensors(network: Any) -> list[Tensor]:
    """Return everything that a method may write to."""
    optimizers = [network.optimizer, network.companions[0].optimizer]
    states = [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()]
    modules = [*network.module.state_dict().values(), *network.target.state_dict().values()]
    return [*modules, *network.companions[0].parameters, *states]


def is_new(optimizer: torch.optim.Optimizer) -> bool:
    return all(not value.any() for state in optimizer.state.values() for value in state.values())


def assert_equal(module: nn.Module, wanted: dict[str, Tensor]) -> None:
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, wanted[name], msg=name, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "method", [Reset(), ShrinkPerturb(), Fire(), Fire(solver="exact"), DQN_FIRE, DQN_SHRINK_PERTURB]
)
def test_everything_is_written_in_place(method):
    network = make_network()
    addresses = [tensor.data_ptr() for tensor in tensors(network)]
    method.check(network)
    method.act(network)
    assert addresses == [tensor.data_ptr() for tensor in tensors(network)]


@pytest.mark.parametrize("method", [Reset(), ShrinkPerturb(), Fire()])
def test_by_default_target_optimizers_and_companions_follow_as_published_for_sac(method):
    network = make_network()
    method.act(network)
    assert_equal(network.target, values(network.module))
    assert is_new(network.optimizer)
    assert is_new(network.companions[0].optimizer)
    assert network.companions[0].parameters[0].item() == pytest.approx(-4.6)


def test_no_method_changes_nothing():
    network = make_network()
    before = copy.deepcopy(tensors(network))
    NoMethod().act(network)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors(network), strict=True))


def test_reset_restores_the_runs_own_initial_values():
    network = make_network()
    Reset().act(network)
    assert_equal(network.module, network.initial)


def test_reset_of_the_head_keeps_the_encoder():
    network = make_network()
    before = values(network.module)
    Reset(scope="head").act(network)
    assert_equal(network.module, before | {name: network.initial[name] for name in before if name.startswith("head")})


def test_shrink_perturb_mixes_every_parameter_with_its_initial_value():
    network = make_network()
    before = values(network.module)
    parameters = {name for name, _ in network.module.named_parameters()}
    assert "encoder.1.bias" in parameters
    ShrinkPerturb().act(network)
    mixed = {name: 0.2 * before[name] + 0.8 * network.initial[name] for name in parameters}
    assert_equal(network.module, before | mixed)


def test_fire_projects_every_matrix_and_keeps_the_rest():
    network = make_network()
    twin = copy.deepcopy(network.module)
    Fire(solver="exact").act(network)
    fire.fire_(twin, "exact")
    assert_equal(network.module, values(twin))
    assert max(fire.deviation_from_isometry(network.module).values()) < 1e-6


def test_fire_as_published_for_dqn():
    network = make_network()
    before = values(network.module)
    DQN_FIRE.act(network)
    after = values(network.module)
    assert fire.deviation_from_isometry(network.module)["encoder.0.weight"] < 0.1
    assert torch.equal(after["encoder.0.bias"], before["encoder.0.bias"])
    assert all(torch.equal(after[name], network.initial[name]) for name in after if name.startswith("head"))
    assert_equal(network.target, after)
    assert not is_new(network.optimizer)


def test_shrink_perturb_as_published_for_dqn_treats_the_target_likewise():
    network = make_network()
    old = {"network": values(network.module), "target": values(network.target)}
    DQN_SHRINK_PERTURB.act(network)
    for name, module in {"network": network.module, "target": network.target}.items():
        after = values(module)
        for key in ("encoder.0.weight", "encoder.0.bias"):
            torch.testing.assert_close(after[key], 0.2 * old[name][key] + 0.8 * network.initial[key])
        assert torch.equal(after["head.0.weight"], network.initial["head.0.weight"])
    assert not is_new(network.optimizer)


def test_settings_to_keep_are_respected():
    network = make_network()
    before = values(network.target)
    Fire(optimizer="keep", companions="keep", target="keep").act(network)
    assert_equal(network.target, before)
    assert not is_new(network.optimizer)
    assert not is_new(network.companions[0].optimizer)
    assert network.companions[0].parameters[0].item() != pytest.approx(-4.6)


def test_an_optimizer_that_is_shared_keeps_the_state_of_other_networks():
    network, other = make_network(), nn.Linear(3, 3)
    network.optimizer.add_param_group({"params": list(other.parameters())})
    other(torch.randn(2, 3)).square().sum().backward()
    network.optimizer.step()
    Fire().act(network)
    states = network.optimizer.state
    assert not any(value.any() for own in network.module.parameters() for value in states[own].values())
    assert all(value.any() for own in other.parameters() for value in states[own].values())


class Shifts(fire.Method):
    """Changes one bias, and no matrix."""

    def act(self, network: Any) -> None:
        with torch.no_grad():
            network.module["encoder"][1].bias.add_(1.0)


@pytest.mark.parametrize(
    ("method", "changed"), [(Shifts(), True), (Fire(), True), (ShrinkPerturb(keep=1.0), False), (NoMethod(), False)]
)
def test_an_event_says_whether_it_changed_a_parameter(method, changed):
    manager = PlasticityManager([make_network()], method, Never())
    assert manager.act(Position(0, 0)).changed_weights is changed


def test_running_statistics_of_the_old_weights_are_named_unless_they_are_reset_too():
    network = make_network()
    (note,) = ShrinkPerturb().notes(network)
    assert note.startswith("running statistics may still belong to the old weights: encoder.1; before an evaluation")
    assert DQN_SHRINK_PERTURB.notes(network) == [note]
    for method in (Reset(), Reset(scope="encoder"), Reset(scope="head"), ShrinkPerturb(scope="head", outside="reset")):
        assert method.notes(network) == []


def test_a_companion_that_shares_an_optimizer_resets_its_own_state_only():
    network = make_network()
    companion = network.companions[0]
    network.optimizer.add_param_group({"params": list(companion.parameters)})
    companion.parameters[0].square().backward()
    network.optimizer.step()
    shared = replace(network, companions=(replace(companion, optimizer=network.optimizer),))
    Fire(optimizer="keep").act(shared)
    states = network.optimizer.state
    assert not any(value.any() for value in states[companion.parameters[0]].values())
    assert all(value.any() for own in network.module.parameters() for value in states[own].values())


@pytest.mark.parametrize("method", [Fire(), ResetHead(), Injection(companions="renew")])
def test_a_companion_that_cannot_be_renewed_is_refused_before_anything_is_changed(method):
    class Unknown(torch.optim.SGD):
        pass

    network = make_network()
    network = replace(
        network, companions=(replace(network.companions[0], optimizer=Unknown(network.companions[0].parameters)),)
    )
    with pytest.raises(ValueError, match=r"Unknown cannot be renewed in place.* or choose companions=keep"):
        method.check(network)
    replace(method, companions="keep").check(network)


def test_a_network_may_consist_only_of_its_module():
    module = nn.Linear(4, 3)
    network = MethodNetwork("alone", module, values(module))
    for method in (NoMethod(), Reset(), ShrinkPerturb(), Fire()):
        method.check(network)
        method.act(network)


def test_methods_that_could_not_act_are_refused_at_the_start():
    module: Any = nn.Sequential(nn.Linear(4, 3))
    plain = Network("plain", module, values(module))
    with pytest.raises(ValueError, match=r"scope=encoder.*'plain'.*scope=all"):
        Fire(scope="encoder").check(plain)
    with pytest.raises(ValueError, match=r"no initial value for '0\.bias'"):
        Reset().check(Network("partial", module, {"0.weight": module[0].weight}))
    rprop = torch.optim.Rprop(module.parameters())
    with pytest.raises(ValueError, match="Rprop"):
        Reset().check(Network("odd", module, values(module), rprop))
    Reset(optimizer="keep").check(Network("odd", module, values(module), rprop))
    bank = nn.ParameterDict({"kernels": nn.Parameter(torch.randn(2, 7, 5)), "table": nn.Parameter(torch.randn(4, 3))})
    unknown = Network("bank", bank, values(bank))
    Reset().check(unknown)
    with pytest.raises(ValueError, match="weights 'kernels', 'table': their modules do not say"):
        Fire().check(unknown)


def test_fire_outside_its_scope_does_not_ask_for_declarations():
    module: Any = nn.ModuleDict({"memory": Table(), "head": nn.Linear(4, 2)})
    network = MethodNetwork("q", module, values(module), head=("head",))
    Fire(scope="head").check(network)
    Fire(scope="head", solver="exact").act(network)
    assert torch.equal(module["memory"].values, network.initial["memory.values"])


def test_wrong_field_values_are_refused():
    with pytest.raises(ValueError, match="scope=encodr is not one of all, encoder, head; nearest is encoder"):
        Fire(scope=cast(Any, "encodr"))
    with pytest.raises(ValueError, match=r"keep=1\.5"):
        ShrinkPerturb(keep=1.5)
    with pytest.raises(ValueError, match="steps=0"):
        Fire(steps=0)
    with pytest.raises(ValueError, match=r"steps=5.*only for"):
        Fire(solver="exact", steps=5)
