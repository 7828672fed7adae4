"""Which matrices are found in a module, under which names and with which scale; what is left; what is refused."""

import math
import warnings
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from fire_rl import fire
from fire_rl.fire import Matrix, take_inventory


class EnsembleLinear(nn.Module):
    """Two members whose weights are stored as (member, in, out), or the other way round."""

    def __init__(self, stored_as_in_out: bool = True) -> None:
        super().__init__()
        self.stored_as_in_out = stored_as_in_out
        self.weight = nn.Parameter(torch.randn((2, 7, 5) if stored_as_in_out else (2, 5, 7)))
        self.bias = nn.Parameter(torch.zeros(2, 1, 5))

    def plastic_matrices(self):
        yield Matrix("weight", self.weight.mT if self.stored_as_in_out else self.weight, d_out=5, d_in=7)


class Undeclared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(2, 7, 5))
        self.linear = nn.Linear(4, 3)


def found(module: nn.Module, **choice) -> dict[str, Matrix]:
    return {matrix.name: matrix for matrix in take_inventory(module, **choice).matrices}


def test_linear_layers_are_found_and_the_rest_is_left():
    module = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3), nn.LayerNorm((2, 3)), nn.PReLU(3))
    inventory = take_inventory(module)
    assert [matrix.name for matrix in inventory.matrices] == ["1.weight"]
    assert inventory.left == ("0.weight", "1.bias", "2.weight", "2.bias", "3.weight")
    assert inventory.matrices[0].scale == math.sqrt(3 / 4)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("layer", "positions"), [(nn.Conv1d, 3), (nn.Conv2d, 9), (nn.Conv3d, 27)])
def test_convolutions_hold_one_matrix_per_kernel_position_and_group(layer, positions, groups):
    module = layer(8, 6, kernel_size=3, groups=groups)
    matrix = found(module)["weight"]
    assert matrix.view.shape == (*[3] * len(module.kernel_size), groups, 6 // groups, 8 // groups)
    assert matrix.scale == pytest.approx(math.sqrt(6 / 8) / positions)
    weight = module.weight.flatten(2)
    for group in range(groups):
        wanted = weight[group * 6 // groups : (group + 1) * 6 // groups, :, -1]
        torch.testing.assert_close(matrix.view.reshape(positions, groups, 6 // groups, 8 // groups)[-1, group], wanted)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_are_found_in_the_right_orientation(groups):
    module = nn.ConvTranspose2d(8, 6, kernel_size=(2, 3), groups=groups)
    matrix = found(module)["weight"]
    assert (matrix.d_out, matrix.d_in) == (6 // groups, 8 // groups)
    assert matrix.scale == pytest.approx(math.sqrt(6 / 8) / 6)
    torch.testing.assert_close(matrix.view[1, 2, 0], module.weight[: 8 // groups, :, 1, 2].mT)


def test_views_write_through_in_channels_last_too():
    module: Any = nn.Conv2d(4, 6, 3)
    module.to(memory_format=torch.channels_last)
    found(module)["weight"].view.fill_(2.0)
    assert (module.weight == 2.0).all()


@pytest.mark.parametrize("stored_as_in_out", [True, False])
def test_declared_ensembles_are_found_in_either_layout(stored_as_in_out):
    module = nn.Sequential(EnsembleLinear(stored_as_in_out))
    inventory = take_inventory(module)
    matrix = inventory.declared().matrices[0]
    assert (matrix.name, matrix.view.shape, matrix.scale) == ("0.weight", (2, 5, 7), math.sqrt(5 / 7))
    assert inventory.left == ("0.bias",)


def test_attention_projections_are_three_matrices():
    fused = found(nn.MultiheadAttention(8, 2))
    assert list(fused) == ["in_proj_weight.query", "in_proj_weight.key", "in_proj_weight.value", "out_proj.weight"]
    assert {matrix.view.shape for matrix in fused.values()} == {(8, 8)}
    separate = found(nn.MultiheadAttention(8, 2, kdim=3, vdim=4, add_bias_kv=True))
    assert separate["k_proj_weight"].view.shape == (8, 3)
    assert found(nn.TransformerEncoderLayer(8, 2, 16), include="*.query").keys() == {"self_attn.in_proj_weight.query"}


def test_fused_linear_layers_are_split_on_request():
    module: Any = nn.ModuleDict({"c_attn": nn.Linear(4, 12), "c_proj": nn.Linear(4, 4)})
    assert found(module)["c_attn.weight"].view.shape == (12, 4)
    split = found(module, split={"c_attn": 3})
    assert list(split) == ["c_attn.weight.0", "c_attn.weight.1", "c_attn.weight.2", "c_proj.weight"]
    torch.testing.assert_close(split["c_attn.weight.1"].view, module["c_attn"].weight[4:8])
    with pytest.raises(ValueError, match="do not divide into 5"):
        take_inventory(module, split={"c_attn": 5})
    with pytest.raises(ValueError, match=r"'c_atn' matches no name.*nearest is c_attn"):
        take_inventory(module, split={"c_atn": 3})


def test_a_shared_weight_is_found_once():
    embedding, head = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
    embedding.weight = head.weight
    inventory = take_inventory(nn.ModuleDict({"embedding": embedding, "head": head, "again": head}))
    assert [matrix.name for matrix in inventory.matrices] == ["head.weight"]
    assert inventory.left == ()
    tied = nn.ModuleDict({"embedding": embedding, "head": head})
    assert take_inventory(tied, exclude="embedding").matrices == ()


def test_parameters_in_one_block_of_memory_are_distinguished():
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
    block = torch.randn(24)
    module[0].weight = nn.Parameter(block[:12].view(3, 4))
    module[1].weight = nn.Parameter(block[12:].view(4, 3))
    assert list(found(module)) == ["0.weight", "1.weight"]


def test_an_undeclared_weight_is_refused_by_name_unless_it_is_left_out():
    module = nn.Sequential(Undeclared())
    with pytest.raises(ValueError, match=r"'0\.kernel'.*plastic_matrices\(\).*exclude='0\.kernel'"):
        take_inventory(module).declared()
    with pytest.raises(ValueError, match=r"'0\.kernel'"):
        fire.fire_(module)
    assert list(found(module, exclude="0.kernel")) == ["0.linear.weight"]
    assert take_inventory(module, include="0.linear").declared().left == ("0.kernel", "0.linear.bias")


def test_all_undeclared_weights_are_named_in_one_message():
    module = nn.Sequential(Undeclared(), nn.Linear(4, 4), Undeclared())
    with pytest.raises(
        ValueError, match=r"weights '0\.kernel', '2\.kernel': .*exclude=\('0\.kernel', '2\.kernel'\)\)$"
    ):
        take_inventory(module).declared()


def test_lazy_layers_are_refused_until_they_have_weights():
    with pytest.raises(ValueError, match="'0' has no weights yet"):
        take_inventory(nn.Sequential(nn.LazyLinear(3)))


def test_patterns_choose_by_name_and_a_wrong_one_is_refused():
    module = nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), "head": nn.Linear(4, 2)})
    assert list(found(module, include="encoder")) == ["encoder.0.weight", "encoder.1.weight"]
    assert list(found(module, include=("*.1", "head"))) == ["encoder.1.weight", "head.weight"]
    assert list(found(module, exclude=["encoder.?.weight"])) == ["head.weight"]
    assert "head.weight" in take_inventory(module, exclude="head").left
    with pytest.raises(ValueError, match=r"'encoder\.3' matches no name.*nearest is encoder\."):
        take_inventory(module, include="encoder.3")


def test_a_declaration_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"'weight'.*\(5, 7\).*\(7, 5\)"):
        Matrix("weight", torch.zeros(5, 7), d_out=7, d_in=5)

    class Copies(EnsembleLinear):
        def plastic_matrices(self):
            yield Matrix("weight", self.weight.mT.clone(), d_out=5, d_in=7)

    with pytest.raises(ValueError, match="not a view of a parameter"):
        take_inventory(Copies())


class Registered(nn.Module):
    """A module with a registered function, and what that function returns."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.given = given

    def plastic_matrices(self) -> Any:
        return self.given(self.weight)


def rows(weight: Tensor, *places: slice) -> list[Matrix]:
    return [Matrix(f"weight.{index}", weight[place], *weight[place].shape) for index, place in enumerate(places)]


REFUSED: dict[str, Any] = {
    "plastic_matrices() of Registered gives a NoneType; it must yield fire_rl.Matrix": lambda weight: None,
    "plastic_matrices() of Registered gives a Parameter; it must yield": lambda weight: weight,
    "plastic_matrices() of Registered gives a str; it must yield": lambda weight: ["weight"],
    "'weight': kernel_positions=0 given; allowed is 1": lambda weight: [Matrix("weight", weight, 6, 4, 0)],
    "view shows the same entries several": lambda weight: [Matrix("weight", weight[0].expand(6, 4), 6, 4)],
    "'weight.0' and 'weight.1' of module '' have entries in common": lambda weight: rows(
        weight, slice(0, 4), slice(3, 6)
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_wrong_declarations_are_refused_in_one_line_with_nothing_changed(said: str):
    module = Registered(REFUSED[said])
    before = module.weight.detach().clone()
    with pytest.raises(ValueError) as caught:
        fire.fire_(module)
    assert said in str(caught.value)
    assert torch.equal(module.weight, before)


def test_matrices_side_by_side_in_one_parameter_do_not_overlap():
    between = lambda weight: rows(weight, slice(0, 6, 2), slice(1, 6, 2))  # noqa: E731
    assert len(fire.fire_(Registered(between)).matrices) == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fire.fire_(cast(Any, nn.Linear(2, 2).state_dict())), "a OrderedDict given; allowed is the torch.nn"),
        (lambda: fire.fire_(cast(Any, nn.Linear(2, 2).weight)), "a Parameter given; allowed is the torch.nn.Module"),
        (lambda: fire.fire_(nn.Linear(2, 2), split=cast(Any, {"encoder": 2.0})), "split={'encoder': 2.0} given; all"),
        (lambda: fire.fire_(nn.Linear(2, 2), split=cast(Any, "qkv")), "split='qkv' given; allowed is for"),
        (lambda: fire.Fire(split=cast(Any, {"a": ("b",)})), "split={'a': ('b',)} given; allowed is for"),
        (lambda: fire.fire_(nn.Linear(2, 2), split=cast(Any, {"a": ()})), "split={'a': ()} given; allowed is for"),
        (
            lambda: fire.fire_(nn.ModuleDict({"l": nn.LSTM(2, 2)}), split={"l": 4}),
            "'l' holds several matrices, which are projected separately without a split: weight_ih_l0.input, ",
        ),
        (
            lambda: fire.fire_(nn.MultiheadAttention(4, 2), split={"": 3}),
            "several matrices, which are projected separately without a split: in_proj_weight.query, ",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(call: Any, said: str):
    with pytest.raises(ValueError) as caught:
        call()
    assert said in str(caught.value)


def test_reasons_for_a_module_without_matrices_are_given():
    attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    assert "bias that attention adds as one more key and value: bias_k, bias_v" in str(fire.fire_(attention))
    assert str(fire.fire_(nn.LayerNorm(3))).startswith("no weight matrix was projected\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4))
        packed = torch.ao.quantization.quantize_dynamic(packed, {nn.Linear, nn.LSTM})
    assert str(fire.fire_(packed)).splitlines() == [
        "no weight matrix was projected",
        "left as they were, packed weights that are no parameters, as of quantised modules: 0, 1",
    ]
