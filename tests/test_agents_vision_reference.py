"""The vision networks, their published methods and Muon compared with FIRE's public code, at full size.

The fixture holds figures of isaac7778/FIRE at c37a0ac (vision/), whose networks had our initial weights: losses of
three
updates with Adam (rate 1e-3, gradients clipped at norm 0.5) on two made-up images each; the weights after
shrink_and_perturb, dash and fire; and the penalty and gradients of parseval_loss, all in float64. It also says which
parameters Muon moves, and where to. `python -m tests.fixtures.make_vision CLONE` records it again.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.agents.muon import Muon, muon_and_adam
from fire_rl.agents.optimizers import adam
from fire_rl.agents.vision import published
from fire_rl.fire import MethodNetwork
from tests.fixtures.make_vision import (
    ALPHA,
    CASES,
    LEAST,
    METHODS,
    RATE,
    UPDATES,
    batches,
    figures,
    learn,
    move,
    muon_parameters,
    ours,
)

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "vision_reference.json").read_text())
NETWORKS = ["resnet18", "vit-tiny", pytest.param("vgg16", marks=pytest.mark.slow)]
DATA = {"resnet18": "cifar10", "vit-tiny": "cifar100", "vgg16": "tinyimagenet"}


class LossOverBatches:
    """The loss on some batches together, and on each of them."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> Tensor:
        return torch.stack([loss() for loss in self.batches()]).mean()

    def batches(self) -> Iterator[Callable[[], Tensor]]:
        for batch in batches(self.name, UPDATES):
            yield partial(self.on, *batch)

    def on(self, images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.module(images), labels)


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def agree(tensors: Any, wanted: list[list[float]], tolerance: float = 1e-7) -> None:
    """Compare the length and the ordered sum of each tensor, relative to its length."""
    for found, expected in zip(figures(tensors), wanted, strict=True):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance * max(1.0, expected[0]))


@pytest.fixture(scope="module", params=NETWORKS)
def learned(request):
    """Return a network's name, its initial values, the network after three updates, and their losses."""
    name = request.param
    module = ours(name)
    initial = values(module)
    agree(module.parameters(), REFERENCE[name]["weights"], 1e-6)  # otherwise torch draws other numbers
    optimizer = adam(list(module.parameters()), RATE, (0.9, 0.999), 1e-8)
    return name, initial, module, learn(module, optimizer, name)


def test_the_networks_learn_as_in_the_public_code(learned):
    name, _, module, losses = learned
    assert losses == pytest.approx(REFERENCE[name]["adam"]["losses"], rel=1e-7)
    head = [value for key, value in module.named_parameters() if key.startswith("head")]
    agree(head, REFERENCE[name]["adam"]["weights"][-len(head) :], 1e-5)


def test_resnet18_learns_the_same_with_channels_last():
    module = ours("resnet18").to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    optimizer = adam(list(module.parameters()), RATE, (0.9, 0.999), 1e-8)
    losses = learn(module, optimizer, "resnet18")
    assert losses == pytest.approx(REFERENCE["resnet18"]["adam"]["losses"], rel=1e-7)


def test_published_methods_give_the_same_weights(learned):
    name, initial, module, _ = learned
    presets = published("warm-start", DATA[name], name)
    reached = values(module)
    for method_name in METHODS[name]:
        module.load_state_dict(reached)
        method = presets[method_name]
        if method_name == "dash":
            method = method.altered({"alpha": ALPHA, "least": LEAST})
        method.act(MethodNetwork("n", module, initial, loss=LossOverBatches(module, name)))
        agree(module.parameters(), REFERENCE[name][method_name], 1e-5)
    module.load_state_dict(reached)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_published_parseval_penalty_has_the_same_value_and_gradients(name):
    module = ours(name)
    regularizer = published("warm-start", DATA[name], name)["parseval"].altered({"strength": 1.0})
    value = regularizer.penalty(MethodNetwork("n", module, values(module), head=("head",)))
    assert value is not None
    wanted = REFERENCE[name]["parseval"]
    assert value.item() == pytest.approx(wanted["penalty"], rel=1e-8)
    found = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
    agree([torch.zeros(1) if each is None else each for each in found], wanted["gradients"])


@pytest.mark.parametrize("name", CASES)
def test_muon_has_the_same_parameters_and_rates(name):
    (group,) = muon_and_adam(ours(name)).param_groups
    assert list(group["by_muon"]) == [bool(chosen) for chosen in REFERENCE[name]["by muon"]]
    assert [group["lr"] * group["muon_ratio"], group["lr"]] == pytest.approx(REFERENCE[name]["rates"])


def test_muon_moves_parameters_as_the_public_code_does():
    """Equal up to the order in which sums in bfloat16 are rounded."""
    parameters = muon_parameters()
    move(parameters, Muon(parameters, [True] * len(parameters)))
    agree(parameters, REFERENCE["muon"]["moved"], 1e-3)
    assert all(parameter.isfinite().all() for parameter in parameters)
