"""Continual backpropagation compared with the released code, which ran on the same data and random draws."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import ContinualBackprop, MethodNetwork, hidden_layers
from fire_rl.fire.methods import continual_backprop, own_counts, unit_resets
from tests.fixtures.make_cbp import values
from tests.fixtures.stepwise import ask_no_number_of_the_host, begun, make_network, numbers

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "cbp_reference.json").read_text())


@pytest.mark.parametrize("as_recorded", [False, True])
@pytest.mark.parametrize("case", REFERENCE)
def test_three_hundred_steps_are_those_of_the_released_code(case, as_recorded, monkeypatch):
    """Compare with shibhansh/loss-of-plasticity at 63c35f3 (lop/algos/gnt.py GnT; `conv`: convGnT.py ConvGnT) in
    float64.

    Data, first weights and random draws come from `values`; rate 0.02, decay 0.9, maturity 15, SGD with 0.05. Three
    mistakes
    were corrected: for `correct`, mean activations are set to zero after they were used, not before; for `adam`,
    AdamGnT
    uses Adam's bias correction, which its code computes and drops; for `conv`, the mature units are counted as in
    gnt.py.
    `python -m tests.fixtures.make_cbp CLONE` records the figures again.
    """
    if case == "conv":
        module, shape, outputs = _convolutions()
    else:
        module, shape, outputs = _linear()
    weights = [child for child in module if isinstance(child, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for place, child in enumerate(weights):
            assert child.bias is not None
            bound = math.sqrt(6 / child.weight[0].numel())
            child.weight.copy_(values(tuple(child.weight.shape), 100 + 2 * place) * bound)
            child.bias.copy_(values(tuple(child.bias.shape), 200 + 2 * place) * 0.1)
    if as_recorded:
        ask_no_number_of_the_host(monkeypatch)

    def draw(initial: Tensor, shape: tuple[int, ...], generator: Any) -> Tensor:
        reach = 1 if len(shape) == 4 else 6  # torch's width for convolutions, He's for linear layers
        return values(tuple(shape), 5000 + len(replaced)) * math.sqrt(reach / math.prod(shape[1:]))

    monkeypatch.setattr(unit_resets, "new_draw", draw)
    adam = case == "adam"
    monkeypatch.setattr(own_counts, "OWN_STEPS", 1000)
    optimizer = torch.optim.Adam(module.parameters(), 0.01) if adam else torch.optim.SGD(module.parameters(), 0.05)
    method = ContinualBackprop(
        replacement_rate=0.02, maturity=15, decay=0.9, biases="correct" if case == "correct" else "keep",
        optimizer="renew" if adam else "keep",
    )  # fmt: skip
    network = begun(method, make_network(module, optimizer))
    replaced: list[Any] = []
    hidden_names = [layer.name for layer in hidden_layers(module)]
    replace = unit_resets.replace_units_

    def record(network: MethodNetwork, layer: Any, units: Any, moments: bool, chosen: Tensor | None) -> None:
        assert (chosen is not None) == as_recorded
        which = units[-1] if chosen is None else units[-1][chosen]
        if len(which):
            replaced.append([step, hidden_names.index(layer.name), which.tolist()])
        replace(network, layer, units, moments, chosen)

    monkeypatch.setattr(continual_backprop, "replace_units_", record)
    teacher = values((math.prod(shape[1:]), outputs), 300)
    losses = []
    for step in range(1, 301):
        inputs = values(shape, step * 10)
        wanted = torch.tanh(inputs.flatten(1) @ teacher) * (1 if step < 150 else -1)
        loss = (module(inputs) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(network)
        losses.append(loss.item())

    figures = REFERENCE[case]
    assert replaced == figures["replaced"]
    torch.testing.assert_close(numbers(losses[::10]), numbers(figures["loss"]), rtol=1e-9, atol=1e-12)
    theirs = {"0": "0", "2": "2", "5": "4", "7": "6"} if case == "conv" else {"0": "0", "2": "2", "4": "4"}
    for name, parameter in module.named_parameters():
        layer_name, _, kind = name.partition(".")
        wanted = numbers(figures["parameters"][f"{theirs[layer_name]}.{kind}"])
        torch.testing.assert_close(parameter.detach().flatten(), wanted, rtol=1e-9, atol=1e-11)
    for index, hidden in enumerate(hidden_names):
        utility, birth, owed = (network.memory[f"{hidden}.{key}"] for key in ("utility", "birth", "owed"))
        torch.testing.assert_close(utility, numbers(figures["utility"][index]), rtol=1e-9, atol=1e-12)
        assert (300 - birth).tolist() == figures["ages"][index]
        assert float(owed) == figures["owed"][index]


def _linear() -> tuple[nn.Sequential, tuple[int, ...], int]:
    layers = [nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)]
    return nn.Sequential(*layers).double(), (8, 6), 3


def _convolutions() -> tuple[nn.Sequential, tuple[int, ...], int]:
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(5, 8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, 2)).double(), (8, 2, 6, 6), 2
