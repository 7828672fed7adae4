"""Measuring changes nothing in training, waits for the device once, and leaves out what a network cannot give."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl import fire
from fire_rl.fire import MethodNetwork, hidden_layers
from fire_rl.fire.streams import moved
from fire_rl.fire.undisturbed import global_streams
from tests.fixtures.measured import make_network, measured


class Noisy(nn.Module):
    """Batch statistics and dropout, which change in a pass in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs))


@pytest.mark.parametrize("fails", [False, True])
def test_measuring_does_not_change_training(fails):
    torch.manual_seed(0)
    module = Noisy()
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(8, 4)).mean().backward()
    optimizer.step()
    module.head.bias.requires_grad_(False)

    def loss() -> Tensor:
        value = module(torch.randn(8, 4)).square().mean() * random.random()
        value = value * np.random.rand()  # noqa: NPY002
        if fails:
            raise RuntimeError("no examples")
        return value

    def everything() -> list[Any]:
        states = [value for state in optimizer.state.values() for value in state.values()]
        tensors = [*module.state_dict().values(), *(weight.grad for weight in module.parameters()), *states]
        flags = [weight.requires_grad for weight in module.parameters()] + [part.training for part in module.modules()]
        hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
        return [[tensor.clone() for tensor in tensors], flags, hooks, torch.is_grad_enabled()]

    before, streams = everything(), global_streams()
    network = MethodNetwork("q", module, {}, optimizer, head=("head",), loss=loss)
    with torch.no_grad():
        if fails:
            with pytest.raises(RuntimeError, match="no examples"):
                measured(network, hessian=True)
        else:
            found = measured(network, hessian=True)
            assert found["gradient_norm"] > 0
            assert found == measured(network, hessian=True)  # the same random numbers again
    after = everything()
    for old, new in zip(before[0], after[0], strict=True):
        assert torch.equal(old, new)
    assert before[1:] == after[1:]
    assert moved(streams) is None


def test_values_come_from_the_device_at_once(monkeypatch):
    fetched = []
    tolist = Tensor.tolist

    def refuse(self: Tensor, *arguments: Any) -> Any:
        raise AssertionError("the host waited for the device")

    def fetch(self: Tensor) -> Any:
        fetched.append(self.shape)
        return tolist(self)

    network = make_network()
    with monkeypatch.context() as patched:
        for name in ("item", "cpu", "numpy", "__float__", "__int__", "__bool__"):
            patched.setattr(Tensor, name, refuse)
        patched.setattr(Tensor, "tolist", fetch)
        found = measured(network)
    assert fetched == [(len(found),)]


def test_a_diverged_network_is_measured_and_nan_stays_nan():
    network = make_network()
    network.module[0][0].weight.data[0, 0, 0, 0] = math.nan
    found = measured(network)
    for name in ("dormant", "dead", "active", "effective_rank", "stable_rank", "feature_norm", "gradient_norm"):
        assert math.isnan(found[name]), name
    assert math.isnan(found["deviation/0.0.weight"])
    assert math.isfinite(found["deviation/1.0.weight"])
    network.module[0][0].weight.data.fill_(math.inf)
    assert not math.isfinite(measured(network)["weight_norm"])


def test_measures_that_a_network_cannot_give_are_absent():
    network = make_network()
    everything = measured(network)
    without_loss = measured(replace(network, loss=None))
    assert {"deviation", "spread", "weight_norm", "sfe", "effective_learning_rate"} <= without_loss.keys()
    assert not {"dormant", "active", "effective_rank", "gradient_norm"} & without_loss.keys()
    assert {name: everything[name] for name in without_loss} == without_loss
    assert "effective_rank" not in measured(replace(network, head=()))
    assert "effective_learning_rate" not in measured(replace(network, optimizer=None))
    assert "sfe" not in measured(replace(network, initial={}))
    module = nn.Linear(3, 1)
    plain = measured(MethodNetwork("q", module, {}, loss=lambda: module(torch.ones(2, 3)).mean()))
    assert not hidden_layers(module)
    assert "gradient_norm" in plain
    assert "dormant" not in plain
    frozen = make_network().module.requires_grad_(False)
    assert "gradient_norm" not in measured(make_network(frozen, optimizer=None))
    with pytest.raises(ValueError, match="network 'q' has no loss"):
        measured(replace(network, loss=None), hessian=True)


def test_every_measure_that_a_trigger_may_name_exists():
    taken = {name for name in measured(make_network(), hessian=True) if "/" not in name}
    assert fire.MEASURES.keys() == taken | {"trainability"}, "trainability is measured by a probe on copies"
