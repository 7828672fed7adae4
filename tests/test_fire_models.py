"""A ResNet-18, a GPT, an LSTM and a vision transformer with `fire_` and the manager: what changes and what stays."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from examples.gpt import GPT
from examples.lstm import Classifier
from examples.resnet18 import ResNet18
from examples.vit import ViT
from fire_rl.fire import (
    FireReport,
    Network,
    Never,
    PlasticityManager,
    Position,
    fire_,
    parse_method,
    refresh_statistics_,
)
from fire_rl.fire.measures import deviation_from_isometry
from tests.fixtures.small_q_network import values

# The model, inputs, the settings that project all of it, and the number of matrices.
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], dict[str, Any], int]] = {
    "resnet": (lambda: ResNet18(4), lambda: torch.randn(6, 3, 16, 16), {}, 21),
    "gpt": (GPT, lambda: torch.randint(64, (2, 9)), {"split": {"*.c_attn": 3}}, 2 * 6),
    "lstm": (Classifier, lambda: torch.randint(50, (3, 7)), {}, 2 * 2 * 2 * 4 + 2),
    "vit": (ViT, lambda: torch.randn(2, 3, 16, 16), {"exclude": ("first", "positions")}, 1 + 2 * 6 + 1),
}


def spelled(choice: dict[str, Any]) -> str:
    split = "".join(f",split={pattern}:{parts}" for pattern, parts in choice.get("split", {}).items())
    return "fire:solver=exact" + split + (",exclude=first|positions" if "exclude" in choice else "")


def made(which: str) -> tuple[Any, Tensor, dict[str, Any], int]:
    torch.manual_seed(0)
    make, inputs, choice, count = MODELS[which]
    return make(), inputs(), choice, count


@pytest.mark.parametrize("which", MODELS)
def test_every_reported_matrix_is_an_isometry_and_the_rest_is_unchanged(which: str):
    module, inputs, choice, count = made(which)
    before = values(module)
    report = fire_(module, solver="exact", **choice)
    assert len(report.matrices) == count
    deviations = deviation_from_isometry(module, **choice)
    assert all(deviations[row.name] < 1e-6 for row in report.matrices)
    assert all(row.squared_frobenius_error > 1e-3 for row in report.matrices)
    written = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    projected = {name for name in before if any(row.name.startswith(name) for row in report.matrices)}
    assert written == projected
    embeddings = [f"{name}.weight" for name, child in module.named_modules() if isinstance(child, nn.Embedding)]
    assert not written & set(embeddings)
    output = module.eval()(inputs)
    fire_(module, solver="exact", **choice)
    torch.testing.assert_close(
        module(inputs), output, atol=2e-4, rtol=1e-3
    )  # the nearest isometry to an isometry is itself


@pytest.mark.parametrize("which", MODELS)
def test_the_manager_does_the_same(which: str):
    module, _, choice, _ = made(which)
    alone, _, _, _ = made(which)
    fire_(alone, solver="exact", **choice)
    optimizer = torch.optim.AdamW(module.parameters())
    network = Network("model", module, values(module), optimizer)
    event = PlasticityManager([network], parse_method(spelled(choice)), Never()).act(Position(1, 1))
    for name, value in module.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name
    text = str(event)
    assert ("left as they were, embedding:" in text) == (which in ("gpt", "lstm"))
    assert ("tied to an embedding" in text) == (which == "gpt")
    assert ("statistics may still belong to the old weights: stem.1, blocks.0.bn1, " in text) == (which == "resnet")


@pytest.mark.parametrize("which", MODELS)
def test_frozen_layers_are_not_touched(which: str):
    module, _, choice, count = made(which)
    frozen = {"resnet": "blocks.0", "gpt": "blocks.0", "lstm": "lstm", "vit": "encoder.layers.0"}[which]
    module.get_submodule(frozen).requires_grad_(False)
    before = values(module)
    report = fire_(module, **choice)
    assert 0 < len(report.matrices) < count
    for name, value in module.state_dict().items():
        assert not name.startswith(f"{frozen}.") or torch.equal(value, before[name])
    (line,) = [line for line in report.lines() if "frozen" in line]
    assert f"{frozen}." in line
    assert {row.name for row in report.matrices}.isdisjoint(report.left)


def test_a_tied_output_layer_is_projected_by_choice():
    module, _, choice, count = made("gpt")
    before = module.wte.weight.clone()
    report = fire_(module, solver="exact", tied="project", **choice)
    assert len(report.matrices) == count + 1
    assert not torch.equal(module.wte.weight, before)
    gram = module.head.weight.mT @ module.head.weight
    torch.testing.assert_close(gram, torch.eye(32) * 64 / 32, atol=1e-5, rtol=0)


def test_the_report_has_a_line_for_each_reason():
    module, _, choice, _ = made("gpt")
    module.blocks[0].c_fc.weight.requires_grad_(False)
    report = fire_(module, exclude="blocks.1", **choice)
    reasons = [line.partition(":")[0].partition(" (")[0] for line in report.lines()]
    assert reasons == [
        "left as they were, frozen",
        "left as they were, tied to an embedding",
        "left as they were, left out by name",
        "left as they were, embedding",
        "left as they were, not 2-D",
    ]
    assert "wpe.weight" in str(report)
    assert isinstance(report, FireReport)
    assert set(report.left) >= {"blocks.0.c_fc.weight", "head.weight", "blocks.1.c_fc.weight", "wpe.weight"}


def test_statistics_are_refreshed_as_by_torch():
    module, images, _, _ = made("resnet")
    for _ in range(3):
        module(images)
    report = fire_(module, solver="exact")
    assert report.stale == tuple(name for name, child in module.named_modules() if isinstance(child, nn.BatchNorm2d))
    other, _, _, _ = made("resnet")
    other.load_state_dict(module.state_dict())
    module.eval()
    momentum = module.stem[1].momentum
    weights = [parameter.clone() for parameter in module.parameters()]
    batches = [images[:3], images[3:]]
    assert refresh_statistics_(module, ((batch, None) for batch in batches)) == 2
    update_bn(batches, other)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)
    assert not any(child.training for child in module.modules())
    assert module.stem[1].momentum == momentum
    assert all(torch.equal(now, old) for now, old in zip(module.parameters(), weights, strict=True))


def test_statistics_stay_where_refreshing_them_fails():
    module, images, _, _ = made("resnet")
    module(images)
    before = values(module)
    with pytest.raises(ValueError, match="no batch given"):
        refresh_statistics_(module, [])
    with pytest.raises(ValueError, match="a tensor given; allowed is a list of batches"):
        refresh_statistics_(module, images)
    with pytest.raises(RuntimeError):
        refresh_statistics_(module, [images, images[:, :2]])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(child.training for child in module.modules())
    assert module.stem[1].momentum == 0.1


def test_refreshed_statistics_make_evaluation_equal_training():
    module, images, _, _ = made("resnet")
    for _ in range(20):
        module(images)
    fire_(module, solver="exact")
    trained = module.train()(images)
    stale = (module.eval()(images) - trained).abs().max()
    refresh_statistics_(module, [images])
    assert (module.eval()(images) - trained).abs().max() < 0.5 * stale
