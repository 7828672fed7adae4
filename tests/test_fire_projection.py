"""`fire_` on whole modules: the published result, in place, with a report; and the measures of the report."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fire_rl import fire
from tests.test_fire_matrices import EnsembleLinear

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "fire_reference.json").read_text())


def fill(module: nn.Module) -> None:
    """Fill a module with weights that are the same with any version of any library."""
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            values = np.random.default_rng(100 + index).standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 5))


def language() -> nn.Module:
    embedding, head = nn.Embedding(40, 16), nn.Linear(16, 40, bias=False)
    embedding.weight = head.weight
    layers = {"wte": embedding, "norm": nn.LayerNorm(16), "c_attn": nn.Linear(16, 48), "c_proj": nn.Linear(16, 16)}
    return nn.ModuleDict(layers | {"lm_head": head})


@pytest.mark.parametrize(
    ("name", "module", "choice"),
    [
        ("convolutional", convolutional(), {}),
        ("language", language(), {"steps": 5, "split": {"c_attn": 3}, "tied": "project"}),
    ],
)
def test_whole_models_equal_those_of_the_published_code(name, module, choice):
    fill(module)
    fire.fire_(module, **choice)
    for parameter_name, parameter in module.named_parameters():
        wanted = REFERENCE[name][parameter_name]
        values = parameter.detach().flatten()
        assert values.norm().item() == pytest.approx(wanted["norm"], rel=1e-5)
        for index, entry in wanted["entries"].items():
            assert values[int(index)].item() == pytest.approx(entry, rel=1e-5, abs=1e-5 * values.abs().max().item())


@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_weights_become_isometries_in_place_and_nothing_else_changes(solver):
    module: Any = nn.Sequential(
        nn.Conv1d(4, 6, 3, groups=2), EnsembleLinear(), EnsembleLinear(stored_as_in_out=False), nn.LayerNorm(5)
    )
    fill(module)
    addresses = [parameter.data_ptr() for parameter in module.parameters()]
    others = {name: value.clone() for name, value in module.state_dict().items() if not name.endswith("weight")}
    report = fire.fire_(module, solver)
    assert addresses == [parameter.data_ptr() for parameter in module.parameters()]
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(module.state_dict()[name], value) for name, value in others.items())
    assert report.left == ("0.bias", "1.bias", "2.bias", "3.weight", "3.bias")
    deviations = fire.deviation_from_isometry(module)
    assert deviations.keys() == {"0.weight", "1.weight", "2.weight"}
    assert max(deviations.values()) < 0.1
    torch.testing.assert_close(
        module[2].weight @ module[2].weight.mT, torch.eye(5).expand(2, 5, 5) * 5 / 7, atol=0.1, rtol=0
    )


def test_both_layouts_of_an_ensemble_give_the_same():
    stored_in_out, stored_out_in = EnsembleLinear(True), EnsembleLinear(False)
    with torch.no_grad():
        stored_out_in.weight.copy_(stored_in_out.weight.mT)
    fire.fire_(stored_in_out)
    fire.fire_(stored_out_in)
    torch.testing.assert_close(stored_in_out.weight.mT, stored_out_in.weight)


def test_an_orthogonal_convolution_keeps_the_published_scale():
    module = nn.Conv2d(8, 32, 3, bias=False)
    fire.fire_(module, "exact")
    gram = torch.einsum("oiyx,ojyx->yxij", module.weight, module.weight)
    torch.testing.assert_close(gram, torch.eye(8).expand(3, 3, 8, 8) * (32 / 8) / 81, atol=1e-6, rtol=0)


def test_half_precision_weights_stay_half_precision():
    module = nn.Linear(16, 8).to(torch.bfloat16)
    report = fire.fire_(module)
    assert module.weight.dtype == torch.bfloat16
    assert report.matrices[0].deviation_after < 1e-3


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name_before_anything_changes(wrong):
    module: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.no_grad():
        module[1].weight[0, 0] = wrong
    before = module[0].weight.clone()
    with pytest.raises(ValueError, match=r"'1\.weight' holds NaN or infinity"):
        fire.fire_(module)
    assert torch.equal(module[0].weight, before)


def test_the_report_measures_each_matrix():
    module = nn.Linear(30, 20)
    before = module.weight.detach().clone()
    row = fire.fire_(module, "exact").matrices[0]
    assert (row.name, row.d_out, row.d_in, row.stack, row.scale) == ("weight", 20, 30, 1, math.sqrt(20 / 30))
    assert row.squared_frobenius_error == pytest.approx((module.weight - before).square().sum().item(), rel=1e-5)
    assert row.deviation_before == pytest.approx(fire.deviation_from_isometry(before.double() / row.scale), rel=1e-9)
    assert row.deviation_after == pytest.approx(fire.deviation_from_isometry(module)["weight"], abs=1e-12)
    assert row.deviation_after < 1e-6 < row.deviation_before
    assert row.smallest_singular_value == pytest.approx(1.0, abs=1e-6)
    assert row.seconds > 0


def test_the_report_says_where_the_published_solver_left_null_directions():
    module: Any = nn.Sequential(nn.Conv2d(8, 8, 2), nn.Linear(6, 6))
    with torch.no_grad():
        module[0].weight[:3] = 0.0
        module[1].weight[4] = 0.0
    published = fire.fire_(module)
    assert [row.null_directions for row in published.matrices] == [4 * 3, 1]
    assert "null directions (singular values below 0.01; solver exact leaves none): 0.weight 12, 1.weight 1" in str(
        published
    )
    completed = fire.fire_(module, "exact")
    assert [row.null_directions for row in completed.matrices] == [0, 0]
    assert "null" not in str(completed)


def test_the_printed_report_names_every_matrix_and_what_was_left():
    lines = str(fire.fire_(nn.Sequential(nn.Linear(4, 3), nn.Conv2d(2, 2, 3, bias=False)))).splitlines()
    assert lines[0].split() == ["matrix", "d_out", "x", "d_in", "SFE", "DfI", "before", "DfI", "after", "seconds"]
    assert lines[1].startswith("0.weight")
    assert "3 x 4" in lines[1]
    assert lines[2].startswith("1.weight")
    assert "9 x 2 x 2" in lines[2]
    assert lines[3:] == ["left as they were, not 2-D (biases, gains of norms): 0.bias"]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_deviation_from_isometry_is_its_definition_on_the_smaller_side(rows, columns, seed):
    matrix = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, columns)))
    gram = matrix @ matrix.mT if rows < columns else matrix.mT @ matrix
    wanted = (gram - torch.eye(min(rows, columns))).square().sum().item()
    assert fire.deviation_from_isometry(matrix) == pytest.approx(wanted, rel=1e-12)
    assert fire.deviation_from_isometry(matrix.mT) == pytest.approx(wanted, rel=1e-9)


def test_measures_accumulate_in_float64():
    matrix = torch.full((4096, 1), 1.0 / 64.0, dtype=torch.float32)
    assert fire.deviation_from_isometry(matrix) == 0.0
    big, small = torch.full((4096,), 4096.0), torch.full((4096,), 4095.0)
    assert fire.squared_frobenius_error(big, small) == 4096.0
    assert fire.squared_frobenius_error(big.bfloat16(), big) == 0.0
    with pytest.raises(ValueError, match="differ"):
        fire.squared_frobenius_error(big, small[:1])


def test_fire_lowers_the_deviation_that_it_is_measured_by():
    module = nn.Sequential(nn.Linear(64, 256), nn.Linear(256, 16))
    before = fire.deviation_from_isometry(module)
    fire.fire_(module)
    after = fire.deviation_from_isometry(module)
    assert all(after[name] < before[name] for name in before)


def test_singular_values_are_those_of_the_scaled_matrix():
    module = nn.Conv2d(5, 7, 3)
    matrix = fire.take_inventory(module).matrices[0]
    wanted = torch.linalg.svdvals(matrix.view.double() / matrix.scale).reshape(9, 5).flip(-1)
    torch.testing.assert_close(fire.singular_values(matrix), wanted)
    with torch.no_grad():
        module.weight.fill_(math.nan)
    assert fire.singular_values(matrix).isnan().all()


@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_matrices_that_are_joined_on_a_gpu_are_projected_and_measured_as_one_by_one(monkeypatch, solver):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(6, 9), nn.Linear(9, 6), nn.Linear(6, 9), nn.Conv2d(6, 9, 3), nn.Linear(9, 9)
    ).double()
    network = fire.Network("net", module, {key: value.clone() for key, value in module.state_dict().items()})
    twin = fire.Network("net", copy.deepcopy(module), network.initial)
    calls: list[int] = []
    decompose = torch.linalg.eigvalsh

    def counted(grams: torch.Tensor) -> torch.Tensor:
        calls.append(len(grams))
        return decompose(grams)

    monkeypatch.setattr(torch.linalg, "eigvalsh", counted)
    wanted = fire.PlasticityManager([twin], fire.Fire(solver=solver), fire.At((1,))).act(fire.Position(1, 1))
    assert calls == [1, 1, 1, 9, 1] * 2
    calls.clear()
    monkeypatch.setattr("fire_rl.fire.devices.joins", lambda tensor: True)
    found = fire.PlasticityManager([network], fire.Fire(solver=solver), fire.At((1,))).act(fire.Position(1, 1))
    assert calls == [12, 1] * 2  # before and after
    calls.clear()
    monkeypatch.setattr("fire_rl.fire.devices.MOST_JOINED", 2 * 6 * 6 * 8)
    fire.PlasticityManager([network], fire.NoMethod(), fire.Never()).act(fire.Position(1, 1))
    assert calls == [2, 10, 1], "a group that takes too much memory is not made larger"
    for parameter, other in zip(module.parameters(), twin.module.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-12, atol=1e-12)
    for row, wanted_row in zip(found.networks[0].matrices, wanted.networks[0].matrices, strict=True):
        assert row.name == wanted_row.name
        for name in ("squared_frobenius_error", "deviation_before", "deviation_after", "smallest_singular_value"):
            assert getattr(row, name) == pytest.approx(getattr(wanted_row, name), rel=1e-9, abs=1e-9)


def test_deviation_accepts_what_fire_accepts():
    layer = nn.Linear(16, 64)
    fire.fire_(layer, solver="exact")
    (matrix,) = fire.take_inventory(layer).matrices
    assert fire.deviation_from_isometry(matrix) < 1e-6
    assert fire.deviation_from_isometry(layer, exclude="bias")["weight"] < 1e-6
    assert fire.deviation_from_isometry(layer.weight) > 100, "a bare tensor is not divided by its scale"
    with pytest.raises(ValueError, match="pass the module"):
        fire.deviation_from_isometry(torch.zeros(4, 3, 3, 3))


def test_complex_weights_are_refused_by_name_before_anything_is_written():
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3, dtype=torch.complex64))
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match=r"'1\.weight' holds complex64 numbers; allowed are real ones; nothing was ch"):
        fire.fire_(module)
    with pytest.raises(ValueError, match=r"'1\.weight' holds complex64 numbers"):
        fire.Fire().check(fire.Network("q", module, initial))
    assert all(torch.equal(value, initial[name]) for name, value in module.state_dict().items())
    assert [row.name for row in fire.fire_(module, exclude="1").matrices] == ["0.weight"]


def test_all_parameters_of_attention_with_added_biases_are_known():
    report = fire.fire_(nn.MultiheadAttention(8, 2, add_bias_kv=True), solver="exact")
    assert "bias_k" in report.left
