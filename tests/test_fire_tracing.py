"""`declare_units` finds hidden units in a forward pass written by hand, and leaves out those it cannot separate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl import fire
from fire_rl.fire import declare_units, hidden_layers
from tests.fixtures.layers import Conv1D
from tests.fixtures.units import check


class Written(nn.Module):
    """Layers, and a forward pass written as a function."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.way = forward

    def forward(self, inputs: Tensor) -> Any:
        return self.way(self, inputs)


def linear(**more: nn.Module) -> dict[str, nn.Module]:
    return {"one": nn.Linear(5, 8), "two": nn.Linear(8, 8), **more}


def convolutions(**more: nn.Module) -> dict[str, nn.Module]:
    return {"one": nn.Conv2d(3, 4, 3, padding=1), "two": nn.Conv2d(4, 2, 1), **more}


def by_hand(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(0.79788456 * (x + 0.044715 * x.pow(3))))


ROWS, IMAGES = (6, 5), (4, 3, 6, 6)
FOUND: dict[str, tuple[Callable[[], Written], tuple[int, ...], list[str]]] = {
    "a function": (lambda: Written(lambda m, x: m.two(functional.relu(m.one(x))), **linear()), ROWS, ["one"]),
    "tokens": (lambda: Written(lambda m, x: m.two(functional.gelu(m.one(x))), **linear()), (2, 3, 5), ["one"]),
    "written by hand": (lambda: Written(lambda m, x: m.two(by_hand(m.one(x))), **linear()), ROWS, ["one"]),
    "squared": (lambda: Written(lambda m, x: m.two(functional.relu(m.one(x)).square()), **linear()), ROWS, ["one"]),
    "Hugging Face's layers": (
        lambda: Written(lambda m, x: m.two(by_hand(m.one(x))), one=Conv1D(8, 5), two=Conv1D(3, 8)),
        (2, 4, 5),
        ["one"],
    ),
    "in place": (lambda: Written(lambda m, x: m.two(functional.relu_(m.one(x))), **linear()), ROWS, ["one"]),
    "two readers": (
        lambda: Written(
            lambda m, x: (h := functional.relu(m.one(x))) is not None and (m.two(h), m.three(h)),
            **linear(three=nn.Linear(8, 3)),
        ),
        ROWS,
        ["one"],
    ),
    "dropout": (
        lambda: Written(lambda m, x: m.two(m.drop(torch.relu(m.one(x)))), **linear(drop=nn.Dropout(0.5))),
        ROWS,
        ["one"],
    ),
    "one activation module in two places": (
        lambda: Written(
            lambda m, x: m.three(m.act(m.two(m.act(m.one(x))))), **linear(three=nn.Linear(8, 2), act=nn.ReLU())
        ),
        ROWS,
        ["one", "two"],
    ),
    "convolutions": (lambda: Written(lambda m, x: m.two(torch.relu(m.one(x))), **convolutions()), IMAGES, ["one"]),
    "pooled": (
        lambda: Written(lambda m, x: m.two(functional.max_pool2d(torch.relu(m.one(x)), 2)), **convolutions()),
        IMAGES,
        ["one"],
    ),
    "flattened": (
        lambda: Written(
            lambda m, x: m.out(functional.avg_pool2d(torch.relu(m.one(x)), 2).view(len(x), -1)),
            **convolutions(out=nn.Linear(36, 3)),
        ),
        IMAGES,
        ["one"],
    ),
    "mean of positions": (
        lambda: Written(lambda m, x: m.out(torch.relu(m.one(x)).mean((2, 3))), **convolutions(out=nn.Linear(4, 3))),
        IMAGES,
        ["one"],
    ),
    "a norm of units": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **linear(norm=nn.LayerNorm(8))),
        (2, 3, 5),
        ["one"],
    ),
    "a norm of rows": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **linear(norm=nn.BatchNorm1d(8))),
        ROWS,
        ["one"],
    ),
    "a norm of channels": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **convolutions(norm=nn.GroupNorm(2, 4))),
        IMAGES,
        ["one"],
    ),
    "pooled to one": (
        lambda: Written(
            lambda m, x: m.out(functional.adaptive_avg_pool2d(torch.relu(m.one(x)), 1).flatten(1)),
            **convolutions(out=nn.Linear(4, 3)),
        ),
        IMAGES,
        ["one"],
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_units_are_found_with_their_own_weights(case: str):
    torch.manual_seed(0)
    make, shape, wanted = FOUND[case]
    module, inputs = make().eval(), torch.randn(shape)
    report = declare_units(module, inputs)
    assert [layer.name for layer in report.layers] == wanted
    check(module, lambda: module(inputs), mixes=hasattr(module, "norm"))


NOT_FOUND: dict[str, tuple[Callable[[], Written], tuple[int, ...]]] = {
    "no activation": (lambda: Written(lambda m, x: m.two(m.one(x)), **linear()), ROWS),
    "returned too": (lambda: Written(lambda m, x: (m.two(torch.relu(h := m.one(x))), h), **linear()), ROWS),
    "returned too, behind the activation": (
        lambda: Written(lambda m, x: {"out": m.two(h := torch.relu(m.one(x))), "h": h}, **linear()),
        ROWS,
    ),
    "a residual stream": (
        lambda: Written(lambda m, x: m.two(torch.relu((h := m.one(x)) + m.zero(h))), **linear(zero=nn.Linear(8, 8))),
        ROWS,
    ),
    "gated": (
        lambda: Written(lambda m, x: m.two(functional.silu(m.one(x)) * m.up(x)), **linear(up=nn.Linear(5, 8))),
        ROWS,
    ),
    "run twice": (lambda: Written(lambda m, x: m.two(torch.relu(m.two(torch.relu(m.one(x))))), **linear()), ROWS),
    "read by a function": (
        lambda: Written(lambda m, x: m.two(h := torch.relu(m.one(x))) + h @ m.two.weight, **linear()),
        ROWS,
    ),
    "a weight read elsewhere": (
        lambda: Written(
            lambda m, x: m.two(torch.relu(m.one(x))) + functional.linear(x, m.one.weight), **linear()
        ),
        ROWS,
    ),
    "mixed": (lambda: Written(lambda m, x: m.two(torch.relu(m.one(x)).softmax(-1)), **linear()), ROWS),
    "in another order": (lambda: Written(lambda m, x: m.two(torch.relu(m.one(x)).flip(-1)), **linear()), ROWS),
    "levelled by a mean": (
        lambda: Written(lambda m, x: m.two(torch.relu(h := m.one(x)) - h.mean(-1, keepdim=True)), **linear()),
        ROWS,
    ),
    "a norm behind the activation": (
        lambda: Written(lambda m, x: m.two(m.norm(torch.relu(m.one(x)))), **convolutions(norm=nn.BatchNorm2d(4))),
        IMAGES,
    ),
    "a norm over tokens and units": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **linear(norm=nn.LayerNorm([4, 8]))),
        (3, 4, 5),
    ),
    "a norm over tokens": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **linear(norm=nn.BatchNorm1d(4))),
        (3, 4, 5),
    ),
    "a norm over as many tokens as units": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **linear(norm=nn.BatchNorm1d(8))),
        (3, 8, 5),
    ),
    "a norm of as many columns as channels": (
        lambda: Written(lambda m, x: m.two(torch.relu(m.norm(m.one(x)))), **convolutions(norm=nn.LayerNorm(4))),
        (2, 3, 4, 4),
    ),
    "positions first": (
        lambda: Written(
            lambda m, x: m.out(torch.relu(m.one(x)).permute(0, 2, 3, 1).flatten(1)),
            **convolutions(out=nn.Linear(144, 3)),
        ),
        IMAGES,
    ),
    "the mean of units": (
        lambda: Written(lambda m, x: m.out(torch.relu(m.one(x)).mean((1, 2))), **convolutions(out=nn.Linear(6, 3))),
        IMAGES,
    ),
    "rows of an image": (
        lambda: Written(lambda m, x: m.out(torch.relu(m.one(x))), **convolutions(out=nn.Linear(6, 3))),
        IMAGES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_FOUND)
def test_units_that_cannot_be_separated_or_are_not_hidden_are_left_out(case: str):
    make, shape = NOT_FOUND[case]
    module = make()
    assert declare_units(module, torch.randn(shape)).layers == ()


def test_units_that_a_sequence_shows_keep_their_names():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    declare_units(module, torch.randn(3, 5))
    assert [layer.name for layer in hidden_layers(module)] == ["1"]


def test_layers_that_the_pass_does_not_show_and_weights_made_from_others_are_named():
    normed = nn.utils.parametrizations.weight_norm
    layers = linear(later=nn.Linear(8, 2), normed=normed(nn.Linear(8, 3)), read=nn.Linear(8, 3))
    layers |= {"old": nn.utils.spectral_norm(nn.Linear(8, 3)), "attention": nn.MultiheadAttention(8, 2)}
    module = Written(
        lambda m, x: (
            m.two(h := torch.relu(m.one(x))),
            m.normed(h.square()) + m.old(h) + h @ m.read.weight.mT,
            m.attention(h, h, h),
        ),
        **layers,
    )
    report = declare_units(module, torch.randn(ROWS))
    assert set(report.unknown) == {"one", "two", "later", "normed", "read", "old", "attention", "attention.out_proj"}
    assert report.idle == ("later",)
    assert str(report).splitlines()[2].endswith("another pass may find more: later")


def test_a_module_may_declare_units_between_its_layers():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1, self.conv2 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.conv2(functional.relu(self.bn1(self.conv1(images))))

        def plastic_units(self) -> Any:
            yield fire.units_between(self, "conv1", "conv2", norm="bn1")

    torch.manual_seed(0)
    module = nn.ModuleDict({"block": Block()})
    layer = hidden_layers(module)[0]
    assert (layer.name, layer.read_by) == ("block.conv1", "block.conv2")
    assert [weights.name for weights in layer.norm] == ["block.bn1.weight", "block.bn1.bias"]
    images = torch.randn(2, 3, 5, 5)
    module.eval()
    check(module, lambda: module["block"](images))
    with pytest.raises(ValueError, match=r"units of 'conv2' cannot be separated in its readers \(conv1\)"):
        fire.units_between(nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3), "conv2": nn.Conv2d(4, 2, 1)}), "conv2", "conv1")
