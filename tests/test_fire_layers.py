"""FIRE on the layers of torch and of other libraries, compared with SciPy's polar decomposition."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fire_rl import fire
from fire_rl.fire import Matrix, MethodNetwork, Never, PlasticityManager, fire_
from fire_rl.fire.layers import _registered
from fire_rl.fire.measures import measure
from tests.fixtures.layers import Conv1D, before, cast_any, close, nearest, network_of
from tests.fixtures.method_networks import at_event


@pytest.mark.parametrize(
    ("layer", "gates"),
    [
        (lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True), 4),
        (lambda: nn.GRU(6, 4), 3),
        (lambda: nn.RNN(3, 4), 1),
        (lambda: nn.LSTMCell(3, 4), 4),
        (lambda: nn.GRUCell(3, 4), 3),
        (lambda: nn.RNNCell(3, 4), 1),
    ],
)
def test_each_gate_of_a_recurrent_layer_is_projected_by_itself(layer: Any, gates: int):
    module = layer()
    old = before(module)
    report = fire_(module, solver="exact")
    weights = [name for name in old if name.startswith("weight")]
    assert len(report.matrices) == gates * len(weights)
    assert max(row.deviation_after for row in report.matrices) < 1e-6
    for name, value in module.state_dict().items():
        if name in weights:
            wanted = torch.cat([nearest(block) for block in old[name].chunk(gates)])
            close(value, wanted)
        else:
            assert torch.equal(value, old[name]), "a bias"


def test_gates_have_torchs_names_and_lstms_projection_is_one_matrix():
    rows = {row.name: row for row in fire_(nn.LSTM(3, 4, proj_size=2), solver="exact").matrices}
    gates = [
        f"{name}.{gate}" for name in ("weight_ih_l0", "weight_hh_l0") for gate in ("input", "forget", "cell", "output")
    ]
    assert list(rows) == [*gates, "weight_hr_l0"]
    assert (rows["weight_hh_l0.cell"].d_out, rows["weight_hh_l0.cell"].d_in) == (4, 2)
    assert (rows["weight_hr_l0"].d_out, rows["weight_hr_l0"].d_in) == (2, 4)
    assert [row.name for row in fire_(nn.GRU(3, 4), include="*.new").matrices] == [
        "weight_ih_l0.new",
        "weight_hh_l0.new",
    ]


def test_attention_keeps_query_key_and_value_apart():
    module = nn.MultiheadAttention(8, 2)
    old = before(module)
    fire_(module, solver="exact")
    close(module.in_proj_weight, torch.cat([nearest(block) for block in old["in_proj_weight"].chunk(3)]))
    separate = nn.MultiheadAttention(8, 2, kdim=3, vdim=5)
    old = before(separate)
    fire_(separate, solver="exact")
    close(separate.k_proj_weight, nearest(old["k_proj_weight"]))
    close(separate.v_proj_weight, nearest(old["v_proj_weight"]))


def test_hugging_faces_conv1d_is_known_by_name_and_layout_and_splits():
    module: Any = nn.ModuleDict({"c_attn": Conv1D(24, 8), "c_fc": Conv1D(32, 8)})
    old = before(module)
    report = fire_(module, solver="exact", split={"c_attn": 3})
    assert [(row.name, row.d_out, row.d_in) for row in report.matrices] == [
        ("c_attn.weight.0", 8, 8), ("c_attn.weight.1", 8, 8), ("c_attn.weight.2", 8, 8), ("c_fc.weight", 32, 8)
    ]  # fmt: skip
    close(module["c_fc"].weight.mT, nearest(old["c_fc.weight"].mT))
    close(module["c_attn"].weight[:, 8:16].mT, nearest(old["c_attn.weight"][:, 8:16].mT))
    other = Conv1D(24, 8)
    other.nf = 8  # of another layout
    with pytest.raises(ValueError, match="weight 'weight': its module does not say"):
        fire_(other)


def test_a_split_may_have_parts_of_different_sizes_and_be_of_a_convolution():
    module: Any = nn.ModuleDict({"qkv_proj": nn.Linear(8, 16), "to_qkv": nn.Conv2d(4, 12, 1, bias=False)})
    old = before(module)
    fire_(module, solver="exact", split={"qkv_proj": (8, 4, 4), "to_qkv": 3})
    close(module["qkv_proj"].weight[8:12], nearest(old["qkv_proj.weight"][8:12]))
    close(module["to_qkv"].weight[4:8, :, 0, 0], nearest(old["to_qkv.weight"][4:8, :, 0, 0]))
    with pytest.raises(ValueError, match="16 outputs of 'qkv_proj' do not divide into parts of 8, 4"):
        fire_(module, split={"qkv_proj": (8, 4)})
    with pytest.raises(ValueError, match="do not divide into 0 equal parts"):
        fire_(module, split={"qkv_proj": 0})


def test_a_layer_named_like_a_fused_one_that_was_not_split_is_noted():
    module = nn.ModuleDict({"c_attn": nn.Linear(4, 12), "c_proj": nn.Linear(4, 4)})
    assert "projected as one matrix, but named like query, key and value: c_attn.weight; split={'*.c_attn': 3}" in str(
        fire_(module)
    )
    assert "named like" not in str(fire_(module, split={"c_attn": 3}))


def test_bilinear_is_the_linear_map_of_products():
    module = nn.Bilinear(3, 4, 5)
    old = module.weight.detach().clone()
    first, second = torch.randn(7, 3), torch.randn(7, 4)
    fire_(module, solver="exact")
    close(module.weight.flatten(1), nearest(old.flatten(1)))
    products = torch.einsum("bi,bj->bij", first, second).flatten(1)
    torch.testing.assert_close(module(first, second), products @ module.weight.flatten(1).mT + module.bias)


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_depthwise_filters_stay_unless_chosen_and_then_keep_their_shape(layer: Any):
    module: Any = nn.Sequential(layer(6, 6, 3, groups=6), nn.Conv2d(6, 4, 1))
    old = before(module)
    report = fire_(module, solver="exact")
    assert torch.equal(module[0].weight, old["0.weight"])
    assert [row.name for row in report.matrices] == ["1.weight"]
    assert report.left == ("0.weight", "0.bias", "1.bias")
    assert "left as they were, depthwise convolutions (depthwise='project' makes" in str(report)
    report = fire_(module, solver="exact", depthwise="project")
    for filter_now, filter_before in zip(module[0].weight.flatten(1), old["0.weight"].flatten(1), strict=True):
        assert filter_now.norm().item() == pytest.approx(1 / 3, rel=1e-5), "as long as a dense layer's filter"
        assert torch.cosine_similarity(filter_now, filter_before, dim=0).item() == pytest.approx(1.0, abs=1e-6)
    dense = nn.Conv2d(6, 6, 3)
    fire_(dense, solver="exact")
    assert dense.weight.flatten(1).norm(dim=1)[0].item() == pytest.approx(1 / 3, rel=1e-5)


def test_a_depthwise_layer_with_several_filters_to_a_channel():
    module = nn.Conv2d(4, 8, 3, groups=4)
    old = before(module)
    assert fire_(module, solver="exact", depthwise="project").matrices[0].deviation_after < 1e-6
    filters = old["weight"].view(4, 2, 9)
    close(module.weight.view(4, 2, 9), torch.stack([nearest(channel) for channel in filters]))
    one_channel = nn.Conv2d(1, 8, 3)
    assert fire_(one_channel).matrices[0].stack == 9, "an image of one channel makes no layer depthwise"


class Foreign(nn.Module):
    """Query, key and value of each head side by side, as in GPT-NeoX."""

    def __init__(self) -> None:
        super().__init__()
        self.fused = nn.Parameter(torch.randn(2 * 3 * 4, 8))
        self.rest = nn.Parameter(torch.randn(3, 8))


class Child(Foreign):
    pass


def foreign_matrices(module: Foreign) -> Any:
    for index, name in enumerate(("query", "key", "value")):
        yield Matrix(f"fused.{name}", module.fused.view(2, 3, 4, 8)[:, index], d_out=4, d_in=8)


def test_registered_classes_say_what_they_hold_and_so_do_their_subclasses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fire_rl.fire.layers._registered", dict(_registered))
    module = nn.Sequential(Child())
    with pytest.raises(ValueError, match=r"weights '0\.fused', '0\.rest'.*fire_rl\.register_matrices"):
        fire_(module)
    fire.register_matrices(Foreign, foreign_matrices)
    old = before(module)
    report = fire_(module, solver="exact")
    assert [(row.name, row.stack) for row in report.matrices] == [
        ("0.fused.query", 2), ("0.fused.key", 2), ("0.fused.value", 2)
    ]  # fmt: skip
    close(module.state_dict()["0.fused"][4:8], nearest(old["0.fused"][4:8]))
    assert "left as they were, not named by its module's plastic_matrices(): 0.rest" in str(report)
    fire.register_matrices(Child, lambda child: [])
    assert fire_(module).matrices == ()
    with pytest.raises(ValueError, match="allowed is a subclass of"):
        fire.register_matrices(cast_any("Foreign"), foreign_matrices)
    with pytest.raises(ValueError, match="allowed is a function"):
        fire.register_matrices(Foreign, cast_any(None))


def test_regularizers_and_measures_know_the_same_layers():
    torch.manual_seed(0)
    module = nn.ModuleDict(
        {"memory": nn.LSTM(3, 4), "mixed": nn.Bilinear(3, 4, 5), "deep": nn.Conv1d(4, 4, 3, groups=4)}
    )
    values = measure(network_of(module))
    assert "deviation/memory.weight_hh_l0.forget" in values
    assert "deviation/mixed.weight" in values
    for name in ("l2-init", "parseval", "spectral"):
        manager = PlasticityManager([network_of(module)], fire.NoMethod(), Never(), [fire.parse_regularizer(name)])
        if manager.has_penalty:
            penalty = manager.penalty("model")
            assert penalty is None or penalty.isfinite()


def test_dash_takes_depthwise_kernels_one_by_one():
    torch.manual_seed(0)
    module = nn.Conv2d(3, 3, 2, groups=3, bias=False)
    inputs = torch.randn(5, 3, 4, 4)
    network = MethodNetwork("model", module, before(module), loss=lambda: module(inputs).square().mean())
    old = module.weight.detach().clone()
    gradient = torch.autograd.grad(network.loss(), module.weight)[0]
    at_event(fire.Dash(least=0.0), network)
    shares = torch.cosine_similarity(old.flatten(1), -gradient.flatten(1), dim=1).clamp(0.0, 1.0)
    torch.testing.assert_close(module.weight.detach(), old * shares.view(3, 1, 1, 1))


def test_nothing_of_transformers_is_imported():
    code = "import sys, fire_rl.fire; sys.exit(any(name.split('.')[0] == 'transformers' for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
