"""Modules that are called by keyword, keep an extra state, hold complex numbers, or only a share of their weights."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl import fire
from fire_rl.fire import Injection, Network, Never, PlasticityManager, Position, Reset, parse_method, take_inventory
from fire_rl.fire.activity import HeadInput
from tests.fixtures.repaired import draw
from tests.fixtures.small_q_network import values


class Named(nn.Module):
    """Calls its layers by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(input=torch.relu(self.body(input=inputs)))


def test_layers_that_are_called_by_keyword_are_seen():
    torch.manual_seed(0)
    module, inputs = Named(), torch.randn(30, 4)
    assert [layer.name for layer in fire.declare_units(module, inputs).layers] == ["body"]
    network = Network("net", module, values(module), torch.optim.Adam(module.parameters()), head=("head",))
    found = fire.measure(network, loss=lambda: module(inputs).square().mean())
    features = torch.relu(module.body(inputs)).detach()
    assert found["feature_norm"] == pytest.approx(float(features.norm(dim=1).mean()))
    assert found["active"] == pytest.approx(float((features > 0).double().mean()))


def test_a_last_layer_that_is_called_by_keyword_is_fitted_again():
    torch.manual_seed(0)
    module = Named()
    network = Network("net", module, values(module), head=("head",))
    manager = PlasticityManager([network], parse_method("fire:repair=head"), Never(), inputs={"net": draw(4)})
    figures = manager.act(Position(0, 0)).networks[0].outcome
    assert figures["output error after repair"] < figures["output error before repair"]


class Masked(nn.Linear):
    """A last layer with a second input."""

    def forward(self, input: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(input) * mask


def test_the_input_of_a_layer_is_the_first_argument_in_the_order_of_its_forward():
    module, inputs = nn.ModuleDict({"head": Masked(4, 2)}), torch.randn(30, 4)
    with HeadInput(Network("net", module, values(module), head=("head",))) as head:
        module["head"](mask=torch.ones(30, 2), input=inputs)
    assert torch.equal(head.latest, inputs)


class OwnState(nn.Linear):
    """A layer whose state_dict takes no arguments."""

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        return super().state_dict()


def test_a_state_dict_without_arguments_is_refused_with_the_line_to_write():
    module = OwnState(3, 2)
    with pytest.raises(
        ValueError, match=r"^OwnState: every state_dict\(\) must take .* keep_vars; write `def state_dict"
    ):
        PlasticityManager([Network("net", module, module.state_dict())], Reset(), Never())


class Counting(nn.Linear):
    """A layer with an extra state, which is not a tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 3}

    def set_extra_state(self, state: object) -> None:
        assert state == {"calls": 3}


@pytest.mark.parametrize("method", [Reset(), Injection()])
def test_an_extra_state_is_no_tensor_to_reset(method):
    module: Any = nn.Sequential(Counting(3, 4), Counting(4, 2))
    initial = {name: value.clone() for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    optimizer, target = torch.optim.Adam(module.parameters()), copy.deepcopy(module)
    network = Network("net", module, initial, optimizer, target, head=("1",))
    nn.init.zeros_(module[0].weight)
    PlasticityManager([network], method, Never()).act(Position(0, 0))
    assert bool(module[0].weight.any()) == isinstance(method, Reset)


def test_complex_weights_are_neither_measured_nor_recorded():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, dtype=torch.complex64))
    network = Network("net", module, values(module), torch.optim.Adam(module.parameters()))
    before = values(module)
    with pytest.raises(ValueError, match=r"network 'net': '1\.weight' is complex"):
        fire.measure(network)
    with pytest.raises(ValueError, match=r"network 'net': '1\.weight' holds complex64 numbers; .* nothing was changed"):
        PlasticityManager([network], Reset(), Never())  # and not only at an event, when half of a run is over
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class DTensor(Tensor):
    """A class with the name of torch's distributed tensors."""


def distributed() -> nn.Module:
    module = nn.Linear(3, 2)
    module._parameters["weight"] = torch.Tensor._make_subclass(DTensor, torch.zeros(2, 3), True)  # type: ignore
    return module


def flat() -> nn.Module:
    module = nn.Module()
    module.flat = nn.Parameter(torch.zeros(8))
    vars(module.flat)["_is_flat_param"] = True
    return module


def flattened() -> nn.Module:
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(torch.zeros(3))
    return module


def flattened_attention() -> nn.Module:
    module = nn.MultiheadAttention(4, 2)
    module.in_proj_weight = nn.Parameter(torch.zeros(24))
    return module


def flattened_recurrent() -> nn.Module:
    module = nn.LSTM(3, 2)
    module.weight_hh_l0 = nn.Parameter(torch.zeros(8))
    return module


def flattened_bilinear() -> nn.Module:
    module = nn.Bilinear(3, 2, 2)
    module.weight = nn.Parameter(torch.zeros(6))
    return module


@pytest.mark.parametrize(
    "make", [distributed, flat, flattened, flattened_attention, flattened_recurrent, flattened_bilinear]
)
def test_a_share_of_the_weights_is_refused_with_the_way_to_gather_them(make):
    module: Any = nn.Sequential(nn.Linear(3, 3), make())
    with pytest.raises(ValueError, match=r"module '1' holds only this process's share .*summon_full_params"):
        take_inventory(module)


def test_features_of_signals_are_one_row_for_each_example():
    module = nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU(), nn.Conv1d(5, 2, 3))
    with HeadInput(Network("net", module, values(module), head=("2",))) as head:
        module(torch.randn(100, 3, 12))
    assert head.latest.shape == (100, 5 * 10)
