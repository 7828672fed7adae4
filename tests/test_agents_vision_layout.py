"""Weights with channels last in memory: the same numbers, and saved files that do not depend on the layout."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from fire_rl.agents.vision import ClassifierSettings, channels_innermost, make_classifier
from fire_rl.fire import METHODS, Never, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.regularizers import REGULARIZERS

SHAPE, CLASSES, CPU = (3, 8, 8), 4, torch.device("cpu")
# So frequent that they act within some updates.
HURRIED = {
    "cbp": "cbp:replacement_rate=0.2,maturity=1",
    "redo": "redo:tau=0.9",
    "snr": "snr:longest=3,period=1,apply_every=1,rejection=0.3",
}


def examples(number: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(number)
    return torch.randn(8, *SHAPE, generator=draws), torch.randint(CLASSES, (8,), generator=draws)


def learned(innermost: bool, method: str, regularizer: str | None, optimizer: Any, precise: bool) -> Any:
    """Make four updates of a small network, an event, and two more updates; in float64 only if `precise`."""
    learner = make_classifier("small", SHAPE, CLASSES, ClassifierSettings(optimizer=optimizer), 0, CPU)
    module = learner.module
    if precise:
        module.double()
    if innermost:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    for parameter, state in learner.trained.optimizer.state.items():
        for name in state.keys() - {"step"}:
            state[name] = torch.zeros_like(parameter)
    learner.trained.initial = {name: value.detach().clone() for name, value in module.state_dict().items()}
    others = [parse_regularizer(regularizer)] if regularizer else []
    manager = PlasticityManager(learner.plastic(), parse_method(method), Never(), others, seed=3)

    def batch(number: int) -> tuple[Tensor, Tensor]:
        images, labels = examples(number)
        images = images.double() if precise else images
        return images.contiguous(memory_format=torch.channels_last) if innermost else images, labels

    for number in range(6):
        learner.update([batch(number)], [1.0], manager)
        if number == 3 and manager.method.acts_at_events:
            manager.act(Position(4, 4), learner.losses(batch(9), lambda: [batch(9), batch(10)]))
    return learner


def layouts(learner: Any) -> list[bool]:
    weights = [value for value in learner.module.parameters() if value.ndim == 4 and value.shape[1] > 1]
    tensors = [*weights, *(value.grad for value in weights)]
    for weight in weights:
        tensors += [value for name, value in learner.trained.optimizer.state[weight].items() if name != "step"]
    return [tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors]


@pytest.mark.parametrize(
    ("method", "regularizer", "optimizer"),
    [
        *((HURRIED.get(name, name), None, "adam") for name in METHODS),
        *(("none", name, "adam") for name in REGULARIZERS),
        ("none", None, "muon"),
        ("fire", None, "muon"),
    ],
)
def test_methods_give_the_same_values_and_keep_the_layout(method: str, regularizer: str | None, optimizer: str):
    here, there = (
        learned(innermost, method, regularizer, optimizer, optimizer == "adam") for innermost in (False, True)
    )
    assert not any(layouts(here))
    assert all(layouts(there))  # torch's fused Adam confuses numbers where these differ
    tolerance = 1e-9 if optimizer == "adam" else 1e-2  # Muon works in bfloat16
    for (name, one), other in zip(here.module.state_dict().items(), there.module.state_dict().values(), strict=True):
        assert torch.allclose(one, other, rtol=tolerance, atol=tolerance), name


def test_resnet18_learns_with_channels_last_and_is_saved_in_the_order_of_its_shape():
    learner = make_classifier("resnet18", SHAPE, CLASSES, ClassifierSettings(), 0, CPU)
    images, labels = examples(0)
    learner.update([(images.contiguous(memory_format=torch.channels_last), labels)], [1.0])
    assert all(layouts(learner))
    saved = learner.state_dict()
    assert all(value.is_contiguous() for value in saved.values())
    again = make_classifier("resnet18", SHAPE, CLASSES, ClassifierSettings(), 1, CPU)
    again.load_state_dict(copy.deepcopy(saved))
    assert all(torch.equal(value, saved[name]) for name, value in again.state_dict().items())
    assert all(
        value.is_contiguous(memory_format=torch.channels_last) for value in again.module.parameters() if value.ndim == 4
    )


def test_a_gpu_has_channels_last_for_every_network_and_a_cpu_where_it_is_faster():
    networks = ("resnet18", "vit-tiny", "vgg16", "small")
    assert all(channels_innermost(name, torch.device("cuda")) for name in networks)
    assert [name for name in networks if channels_innermost(name, CPU)] == ["resnet18"]
