"""Repair after a projection: last layers fitted again, distillation, gains; against numpy, torch and direct figures."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Network, Never, PlasticityManager, Position, deviation_from_isometry, parse_method
from fire_rl.fire.refit import LastLayer, Moments
from tests.fixtures.repaired import CASES, NOW, acted, draw, equal, error, joined, network_of, values

FIELDS = {
    "output error before repair",
    "output error after repair",
    "deviation before repair",
    "deviation after repair",
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("repair", ["repair=head", "repair=distil,updates=150", "repair=head,scale=true"])
def test_outputs_are_nearer_to_those_before(case, repair):
    network, before, figures = acted(case, f"fire:solver=exact,{repair}")
    unrepaired, *_ = acted(case, "fire:solver=exact")
    inputs = CASES[case][1]
    repaired, lost = error(network.module, before, inputs), error(unrepaired.module, before, inputs)
    assert repaired < (0.5 if "head" in repair else 0.8) * lost
    assert figures.keys() >= FIELDS
    assert figures["output error before repair"] == pytest.approx(lost, rel=0.5)
    assert figures["output error after repair"] == pytest.approx(repaired, rel=0.7)
    assert figures["deviation before repair"] < 1e-6
    deviation = sum(deviation_from_isometry(network.module).values())
    assert figures["deviation after repair"] == pytest.approx(deviation, rel=1e-4)
    changed = [
        name
        for name, value in values(network.module).items()
        if not torch.equal(value, values(unrepaired.module)[name])
    ]
    if repair == "repair=head":
        assert {name.rpartition(".")[0] for name in changed} <= set(last_of(case))


def last_of(case: str) -> tuple[str, ...]:
    return {"plain": ("4",), "actor": ("mean", "log_std"), "critic": ("value",), "q": ("head.2",)}[case]


@pytest.mark.parametrize("method", ["fire:repair=distil,updates=0", "fire:solver=exact,repair=distil,updates=0"])
def test_no_update_of_distillation_is_the_published_method(method):
    repaired, _, _ = acted("critic", method, target=True)
    published, _, _ = acted("critic", method.replace("repair=distil,updates=0", "").rstrip(":,"), target=True)
    assert equal(repaired.module, published.module)
    assert equal(repaired.target, published.target)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_the_fit_is_that_of_least_squares_on_the_augmented_system(members, bias):
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(members, 40, 6, generator=generator, dtype=torch.float64)
    features[..., 0] = features[..., 1]  # rank-deficient: the penalty decides
    residuals = torch.randn(members, 40, 3, generator=generator, dtype=torch.float64)
    ridge = 0.1
    (change,) = Moments.of(features, residuals, bias).solved((ridge,))
    for member in range(members):
        x, y = features[member].numpy(), residuals[member].numpy()
        means, offsets = (x.mean(0), y.mean(0)) if bias else (np.zeros(6), np.zeros(3))
        size = np.trace((x - means).T @ (x - means)) / 40 / 6
        penalty = np.sqrt(40 * ridge * size) * np.eye(6)
        wanted, *_ = np.linalg.lstsq(
            np.vstack([x - means, penalty]), np.vstack([y - offsets, np.zeros((6, 3))]), rcond=None
        )
        np.testing.assert_allclose(change[member, :-1], wanted, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(change[member, -1], offsets - means @ wanted, rtol=1e-9, atol=1e-12)


def test_the_error_from_moments_is_that_of_the_examples():
    generator = torch.Generator().manual_seed(2)
    features, others = (torch.randn(2, 30, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    residuals, rest = (torch.randn(2, 30, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    (change,) = Moments.of(features, residuals, True).solved((0.01,))
    left = rest - (others @ change[:, :-1] + change[:, -1:])
    together = Moments.of(others, rest, True)
    assert together.error(change) == pytest.approx(float(left.square().sum()) / 30, rel=1e-12)
    twice = together + Moments.of(features, residuals, True)
    (both,) = twice.solved((0.01,))
    (whole,) = Moments.of(torch.cat((others, features), 1), torch.cat((rest, residuals), 1), True).solved((0.01,))
    torch.testing.assert_close(both, whole)


@pytest.mark.parametrize("options", ["", ",exclude=0"])
def test_the_head_of_a_linear_network_is_recovered_exactly(options):
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 3))
    before, network = copy.deepcopy(module), Network("net", module, values(module))
    method = parse_method(f"fire:solver=exact,repair=head{options}")
    figures = PlasticityManager([network], method, Never(), inputs={"net": draw(5)}).act(NOW).networks[0].outcome
    assert figures["output error before repair"] > 0.01
    assert figures["output error after repair"] < 1e-9
    product, offset = before[1].weight @ before[0].weight, before[1](before[0].bias)
    torch.testing.assert_close(module[1].weight @ module[0].weight, product, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module[1](module[0].bias), offset, rtol=1e-4, atol=1e-5)
    if options:
        torch.testing.assert_close(module[1].weight, before[1].weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("repair", ["repair=head", "repair=distil,updates=20", "scale=true"])
def test_nothing_changes_where_the_network_is_an_isometry_already(repair):
    network, inputs = network_of("plain")
    with torch.no_grad():
        for parameter in network.module.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.eye(*parameter.shape) * (parameter.shape[0] / parameter.shape[1]) ** 0.5)
    before = copy.deepcopy(network.module)
    method = parse_method(f"fire:solver=exact,{repair}")
    event = PlasticityManager([network], method, Never(), inputs={"plain": inputs}).act(NOW)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(network.module.state_dict()[name], value, rtol=1e-6, atol=1e-6)
    assert event.networks[0].outcome["output error after repair"] < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_gains_keep_the_size_of_every_projected_layers_outputs(case):
    network, before, figures = acted(case, "fire:solver=exact,scale=true")
    gains = {name.removeprefix("gain "): gain for name, gain in figures.items() if name.startswith("gain ")}
    generator = torch.Generator().manual_seed(0)  # the batches that the event drew, after four held-out ones
    for _ in range(4):
        CASES[case][1](generator)
    batch = joined(CASES[case][1], generator, 4)
    sizes = [sizes_of(module, batch, gains) for module in (before, network.module)]
    assert gains
    for name in gains:
        torch.testing.assert_close(sizes[1][name], sizes[0][name], rtol=1e-4, atol=1e-6, msg=name)
    for name, matrix in singular_values(network.module).items():
        torch.testing.assert_close(
            matrix, matrix.mean(-1, keepdim=True).expand_as(matrix), rtol=1e-4, atol=1e-5, msg=name
        )


def sizes_of(module: nn.Module, batch: tuple[Tensor, ...], names: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        members = case_members(module, name)

        def hook(owner: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = output.double().square().reshape(members, -1).mean(1).sqrt()

        return hook

    handles = [module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        module(*batch)
    for handle in handles:
        handle.remove()
    return found


def case_members(module: nn.Module, name: str) -> int:
    weight = module.get_submodule(name).weight
    return len(weight) if isinstance(weight, Tensor) and weight.dim() == 3 else 1


def singular_values(module: nn.Module) -> dict[str, Tensor]:
    from fire_rl.fire import singular_values as of_matrix
    from fire_rl.fire import take_inventory

    return {matrix.name: of_matrix(matrix) for matrix in take_inventory(module).matrices}


def test_a_gain_solves_its_equation_or_is_the_nearest_one():
    from fire_rl.fire.gains import solved

    rows = (2.0, 0.5, 1.0, 4.0), (1.0, 0.0, 0.0, 0.25), (1.0, -0.5, 1.0, 0.5), (0.0, 0.0, 1.0, 2.0)
    a, c, d, wanted = torch.tensor(rows, dtype=torch.float64).T
    gain = solved(a, c, d, wanted)
    torch.testing.assert_close((gain.square() * a + 2 * gain * c + d)[:2], wanted[:2])
    assert gain[2] == pytest.approx(0.5)  # no gain reaches the value; 0.5 has the smallest outputs
    assert gain[3] == 1.0  # a layer whose outputs are its bias only


def test_a_target_is_a_copy_is_repaired_itself_or_is_kept():
    network, before, _ = acted("critic", "fire:repair=head", target=True)
    assert equal(network.module, network.target)
    network, before, _ = acted("critic", "fire:repair=head,target=same", target=True)
    target: Any = network.target
    assert error(target, before, CASES["critic"][1]) < 0.5
    assert not any(parameter.requires_grad for parameter in target.parameters())
    network, before, _ = acted("critic", "fire:repair=distil,updates=80,target=same", target=True)
    target = network.target
    assert not any(parameter.requires_grad for parameter in target.parameters())
    network, before, _ = acted("critic", "fire:repair=head,target=keep", target=True)
    assert equal(before, network.target)


@pytest.mark.parametrize("repair", ["repair=head", "repair=distil,updates=5", "scale=true"])
def test_everything_is_written_in_place_and_nothing_else_changes(repair):
    network, inputs = network_of("q", target=True)
    module = network.module
    network.optimizer.step()
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    gradients = [parameter.grad for parameter in module.parameters()]
    addresses = [value.data_ptr() for value in module.state_dict().values()]
    manager = PlasticityManager([network], parse_method(f"fire:{repair}"), Never(), inputs={"q": inputs})
    torch.manual_seed(4)
    streams = torch.random.get_rng_state()
    manager.act(NOW)
    assert addresses == [value.data_ptr() for value in module.state_dict().values()]
    assert all(parameter.grad is kept for parameter, kept in zip(module.parameters(), gradients, strict=True))
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert module.training
    assert torch.equal(torch.random.get_rng_state(), streams)
    assert not module._forward_hooks


@pytest.mark.parametrize("repair", ["repair=head", "repair=distil,updates=5,scale=true"])
def test_the_second_event_of_a_restored_manager_is_bit_by_bit_the_same(repair):
    def manager() -> PlasticityManager:
        network, inputs = network_of("critic", target=True)
        return PlasticityManager([network], parse_method(f"fire:{repair}"), Never(), seed=7, inputs={"critic": inputs})

    whole = manager()
    whole.act(Position(1, 1))
    saved, state, tensors = values(whole.networks["critic"].module), whole.state_dict(), whole.tensors()
    tensors = {name: value.clone() for name, value in tensors.items()}
    second = whole.act(Position(2, 2))
    resumed = manager()
    resumed.load_state_dict(state)
    resumed.networks["critic"].module.load_state_dict(saved)
    resumed.load_tensors(tensors)
    again = resumed.act(Position(2, 2))
    assert equal(whole.networks["critic"].module, resumed.networks["critic"].module)
    assert second.networks[0].outcome == again.networks[0].outcome
    other, *_ = acted("critic", f"fire:{repair}", seed=8)
    first, *_ = acted("critic", f"fire:{repair}", seed=7)
    assert not equal(first.module, other.module)  # the batches come from the manager's seed


def test_scope_reset_and_repair_work_together():
    network, _, figures = acted("q", "fire:scope=encoder,outside=reset,repair=head")
    assert torch.equal(network.module.state_dict()["head.0.weight"], network.initial["head.0.weight"])
    assert not torch.equal(network.module.state_dict()["head.2.weight"], network.initial["head.2.weight"])
    assert figures["output error after repair"] < figures["output error before repair"]
    method = parse_method("fire:scope=encoder,outside=reset,repair=head")
    names = ("encoder.0.weight", "head.0.weight", "head.2.weight")
    assert [method.resets(network)(name) for name in names] == [False, True, False]
    _, _, figures = acted("q", "fire:scope=head,scale=true")
    assert {name for name in figures if name.startswith("gain")} == {"gain head.0", "gain head.2"}


def test_frozen_weights_stay_as_they_are():
    network, inputs = network_of("plain")
    module: Any = network.module
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    PlasticityManager([network], parse_method("fire:repair=distil,updates=5"), Never(), inputs={"plain": inputs}).act(
        NOW
    )
    assert torch.equal(module[0].weight, before)
    assert not module[0].weight.requires_grad


def test_a_last_layer_of_several_members_reads_shared_inputs():
    layer = LastLayer("value", torch.zeros(2, 1, 4), None)
    assert layer.features(torch.randn(7, 4)).shape == (2, 7, 4)
