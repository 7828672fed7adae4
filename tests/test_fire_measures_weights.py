"""Measures of matrices, weights, gradients and curvature, compared with explicit computations."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fire_rl import fire
from fire_rl.fire import Injection, Matrix, MethodNetwork, take_inventory
from fire_rl.fire.activity import feature_measures, unit_measures
from fire_rl.fire.curvature import top_eigenvalue
from fire_rl.fire.spectra import gram_measures
from fire_rl.fire.weights import norms
from tests.fixtures.measured import make_module, make_network, measured


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in module.named_parameters()}


class Ensemble(nn.Module):
    """Linear layers of several members in one weight (members, in, out)."""

    def __init__(self, members: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, d_in, d_out))

    def plastic_matrices(self) -> Iterable[Matrix]:
        yield Matrix("weight", self.weight.mT, self.weight.shape[2], self.weight.shape[1])


def test_deviation_and_spread_equal_explicit_computations():
    torch.manual_seed(5)
    linear = [nn.Linear(12, 7), nn.Linear(7, 12), nn.Linear(12, 7)]
    matrices = take_inventory(nn.ModuleList([*linear, nn.Conv2d(5, 8, 3), Ensemble(3, 7, 12)])).matrices
    found = gram_measures(matrices)
    for matrix in matrices:
        each = [one.double().numpy() / matrix.scale for one in matrix.view.reshape(-1, matrix.d_out, matrix.d_in)]
        narrow = [one if one.shape[0] >= one.shape[1] else one.T for one in each]
        worst = max(((one.T @ one - np.eye(one.shape[1])) ** 2).sum() for one in narrow)
        deviation = float(found[f"deviation/{matrix.name}"])
        assert deviation == pytest.approx(worst, rel=1e-12)
        assert deviation == pytest.approx(fire.deviation_from_isometry(matrix), rel=1e-12)
        condition = max(np.linalg.cond(one) for one in each)
        assert float(found[f"spread/{matrix.name}"]) == pytest.approx(condition, rel=1e-9)
    total = sum(float(found[f"deviation/{matrix.name}"]) for matrix in matrices)
    assert float(found["deviation"]) == pytest.approx(total)
    assert float(found["spread"]) == max(float(found[f"spread/{matrix.name}"]) for matrix in matrices)


def test_fire_leaves_deviation_zero_and_spread_one():
    module = make_module()
    assert measured(make_network(module))["deviation"] > 1
    fire.fire_(module, solver="exact")
    found = measured(make_network(module))
    assert found["deviation"] < 1e-6
    assert found["spread"] == pytest.approx(1.0, abs=1e-5)


def test_a_null_direction_has_the_largest_spread_and_a_nan_weight_has_none():
    layers = [nn.Linear(6, 6) for _ in range(4)]
    with torch.no_grad():
        layers[1].weight[3] = 0.0
        layers[2].weight.zero_()
        layers[3].weight[0, 0] = math.nan
    measured = gram_measures(take_inventory(nn.ModuleList(layers)).matrices)
    found = {name: float(value) for name, value in measured.items()}
    assert 1 < found["spread/0.weight"] < 1e6
    assert found["spread/1.weight"] == found["spread/2.weight"] == pytest.approx(1e8)
    for name in ("spread/3.weight", "deviation/3.weight", "spread", "deviation"):
        assert math.isnan(found[name]), name
    assert math.isfinite(found["deviation/0.weight"])  # of the same shape, in the same batched product


def test_norms_and_squared_frobenius_error_equal_sums_over_parameters():
    network = make_network()
    before = weights_of(make_module(seed=9))
    found = measured(network, before)
    named, first = weights_of(network.module), network.initial
    assert found["weight_norm"] == pytest.approx(math.sqrt(sum(float((w**2).sum()) for w in named.values())))
    assert found["sfe"] == pytest.approx(sum(float(((named[name] - before[name]) ** 2).sum()) for name in named))
    name = "1.0.weight"
    assert found[f"sfe/{name}"] == pytest.approx(fire.squared_frobenius_error(before[name], named[name]))
    assert found[f"weight_norm/{name}"] == pytest.approx(float(named[name].norm()))
    assert measured(network)["sfe"] == 0.0
    network.module[1][0].weight.data += 0.5
    assert measured(network)["sfe"] == pytest.approx(128 * 0.25)
    assert first[name].shape == (8, 16)
    with pytest.raises(ValueError, match=r"network 'q': the reference has no value for '0\.0\.bias'"):
        measured(network, {})


def test_the_norm_of_all_weights_is_known_if_they_lie_on_several_devices():
    tensors = {"far": torch.ones(3, 4, device="meta"), "near": torch.ones(2)}
    found = norms("weight_norm", tensors, ["near"])
    assert found["weight_norm"].device.type == "meta"
    assert float(found["weight_norm/near"]) == pytest.approx(math.sqrt(2))


def test_measures_of_an_apple_gpu_which_has_no_float64_are_computed_on_the_cpu():
    with FakeTensorMode():
        values = torch.ones(4, 6, device="mps")
        found = norms("weight_norm", {"weight": values}, []) | feature_measures(values) | unit_measures({"1": values})
    assert {name: value.device.type for name, value in found.items()} == dict.fromkeys(found, "cpu")


def test_gradient_norm_equals_that_of_a_backward_pass():
    network = make_network()
    found = measured(network)
    network.loss().backward()
    gradients = {name: weight.grad for name, weight in network.module.named_parameters()}
    assert found["gradient_norm"] == pytest.approx(math.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
    assert found["gradient_norm/0.2.weight"] == pytest.approx(float(gradients["0.2.weight"].norm()))
    assert "gradient_norm/0.2.bias" not in found


@pytest.mark.parametrize(("optimizer", "power"), [(torch.optim.Adam, 1), (torch.optim.SGD, 2)])
def test_effective_learning_rate_is_the_rate_divided_by_the_weights_norm(optimizer, power):
    module = make_module()
    groups = [
        {"params": module[0].parameters(), "lr": torch.tensor(0.25)},
        {"params": module[1].parameters(), "lr": 0.5},
    ]
    found = measured(make_network(module, optimizer=optimizer(groups)))
    rates = {"0.0.weight": 0.25, "0.2.weight": 0.25, "1.0.weight": 0.5, "1.2.weight": 0.5}
    wanted = {name: rate / float(weights_of(module)[name].norm()) ** power for name, rate in rates.items()}
    for name, value in wanted.items():
        assert found[f"effective_learning_rate/{name}"] == pytest.approx(value)
    assert found["effective_learning_rate"] == pytest.approx(sum(wanted.values()) / 4)


def test_the_effective_learning_rate_shows_how_far_a_step_turns_a_normalised_weight():
    """A normalised layer with twice the weights turns half as far with Adam, and a quarter as far with SGD."""
    for optimizer, factor in ((torch.optim.Adam, 2), (torch.optim.SGD, 4)):
        turns, rates = [], []
        for scale in (1.0, 2.0):
            torch.manual_seed(0)
            layers = [nn.Linear(4, 8, bias=False), nn.LayerNorm(8, eps=0.0), nn.Linear(8, 1)]
            module: Any = nn.Sequential(*layers).double()
            module[0].weight.data *= scale
            inputs, before = torch.randn(16, 4).double(), module[0].weight.detach() / scale
            step: Any = optimizer([module[0].weight], 1e-6)
            rates.append(measured(MethodNetwork("q", module, {}, step))["effective_learning_rate"])
            module(inputs).square().mean().backward()
            step.step()
            turns.append(float((module[0].weight.detach() / scale - before).norm()))
        assert turns[0] / turns[1] == pytest.approx(factor, rel=1e-3)
        assert rates[0] / rates[1] == pytest.approx(factor)


def test_a_matrix_with_a_name_of_its_own_counts_as_the_weight_that_holds_it():
    class Maps(Ensemble):
        def plastic_matrices(self) -> Iterable[Matrix]:
            yield Matrix("maps", self.weight.mT, self.weight.shape[2], self.weight.shape[1])

    module = Maps(2, 3, 4)
    found = measured(MethodNetwork("q", module, {}, torch.optim.Adam(module.parameters(), 0.5)))
    assert found["effective_learning_rate/weight"] == pytest.approx(0.5 / float(module.weight.detach().norm()))
    assert "weight_norm/weight" in found
    assert "deviation/maps" in found


def test_parts_of_one_weight_are_separate_matrices():
    found = measured(MethodNetwork("attention", nn.MultiheadAttention(8, 2), {}))
    assert found["deviation/in_proj_weight.query"] != found["deviation/in_proj_weight.value"]
    assert "weight_norm/in_proj_weight" in found


def test_frozen_weights_are_not_measured():
    network = make_network()
    Injection().restructure(network)
    found = measured(network)
    assert "deviation/1.trained.0.weight" in found
    assert not [name for name in found if ".frozen." in name or ".old." in name]
    trained = [weight.detach() for weight in network.module.parameters() if weight.requires_grad]
    assert found["weight_norm"] == pytest.approx(math.sqrt(sum(float((weight**2).sum()) for weight in trained)))
    assert found["sfe"] == 0.0
    assert "effective_rank" in found


def small_module() -> Any:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def small_loss(function: Any) -> Tensor:
    grid = torch.arange(60, dtype=torch.float64)
    return (function(grid.view(20, 3).sin()) - 5 * grid[:40].view(20, 2).cos()).square().mean()


def test_the_top_eigenvalue_equals_that_of_the_whole_hessian():
    module = small_module()
    weights = dict(module.named_parameters())
    sizes = [weight.numel() for weight in weights.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(weights.items(), flat.split(sizes), strict=True)
        named = {name: part.view_as(weight) for (name, weight), part in parts}
        return small_loss(lambda inputs: torch.func.functional_call(module, named, (inputs,)))

    hessian = torch.func.jacrev(torch.func.grad(loss))(
        torch.cat([weight.detach().flatten() for weight in weights.values()])
    )
    top = float(torch.linalg.eigvalsh(hessian)[-1])
    network = MethodNetwork("q", module, {}, loss=lambda: small_loss(module))
    found = measured(network, hessian=True)["hessian"]
    assert found == pytest.approx(top, rel=1e-4)
    assert found == measured(network, hessian=True)["hessian"]


@pytest.mark.parametrize("values", [[-9.0, 1.0, 2.0], [0.0, 0.0, 0.0], [-3.0, -2.0, -1.0], [4.0] * 30])
def test_the_top_eigenvalue_is_the_largest_and_not_the_one_of_largest_magnitude(values):
    point = torch.randn(len(values), dtype=torch.float64, requires_grad=True)
    loss = 0.5 * (torch.tensor(values, dtype=torch.float64) * point.square()).sum()
    gradients = torch.autograd.grad(loss, [point], create_graph=True)
    assert top_eigenvalue(gradients, [point]) == pytest.approx(max(values), abs=1e-9)


def test_a_linear_loss_has_no_curvature_and_a_diverged_one_has_no_eigenvalue():
    module = nn.Linear(3, 1)
    linear = MethodNetwork("q", module, {}, loss=lambda: module(torch.ones(4, 3)).mean())
    assert measured(linear, hessian=True)["hessian"] == 0.0
    diverged = small_module()
    diverged[0].weight.data[0, 0] = math.nan
    assert math.isnan(
        measured(MethodNetwork("q", diverged, {}, loss=lambda: small_loss(diverged)), hessian=True)["hessian"]
    )


def test_the_pass_for_ranks_keeps_no_graph():
    network, seen = make_network(make_module()), list[bool]()
    example = torch.randn(8, 2, 5, 5)

    def run() -> None:
        seen.append(network.module(example).requires_grad)

    fire.measure(network, run=run)
    assert seen == [False]
