"""Hidden units found by a forward pass: of blocks whose activations are functions; and what is rightly left out."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.gpt import GPT
from examples.lstm import Classifier
from examples.resnet18 import ResNet18
from examples.vit import ViT
from fire_rl import fire
from fire_rl.fire import (
    Network,
    Never,
    PlasticityManager,
    Position,
    declare_units,
    hidden_layers,
    measure,
    parse_method,
)
from fire_rl.fire.tracing import trace_units
from tests.test_fire_layers import Conv1D
from tests.test_fire_units import activations, check, names


class Written(nn.Module):
    """Layers, and a forward of one's own."""

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
def test_units_are_found_and_their_weights_are_theirs(case: str):
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
def test_what_cannot_be_told_apart_or_is_not_hidden_is_left_out(case: str):
    make, shape = NOT_FOUND[case]
    module = make()
    assert trace_units(module, torch.randn(shape)) == ()


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], list[str]]] = {
    "resnet": (
        lambda: ResNet18(4),
        lambda: torch.randn(4, 3, 8, 8),
        [f"blocks.{number}.conv1" for number in range(8)],
    ),
    "gpt": (GPT, lambda: torch.randint(64, (2, 9)), ["blocks.0.c_fc", "blocks.1.c_fc"]),
    "lstm": (Classifier, lambda: torch.randint(50, (3, 7)), ["hidden"]),
    "vit": (ViT, lambda: torch.randn(2, 3, 16, 16), ["encoder.layers.0.linear1", "encoder.layers.1.linear1"]),
}


def model_and_inputs(which: str) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    make, inputs, _ = MODELS[which]
    return make(), inputs()


@pytest.mark.parametrize("which", MODELS)
def test_units_of_common_models_are_found_and_nothing_is_disturbed(which: str):
    module, inputs = model_and_inputs(which)
    module.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    stream, output = torch.get_rng_state(), module(inputs)
    assert hidden_layers(module) == ()
    report = declare_units(module, inputs)
    assert [layer.name for layer in report.layers] == MODELS[which][2]
    assert not any(child.training for child in module.modules())
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(module(inputs), output)
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())
    lines = str(report).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"hidden units known: {MODELS[which][2][0]} (")
    assert "head" in lines[1]
    assert "dormant, dead and active skip" in lines[1]


@pytest.mark.parametrize("which", ["lstm", "vit"])
def test_units_of_common_models_are_theirs(which: str):
    module, inputs = model_and_inputs(which)
    declare_units(module, inputs)
    module.eval()
    module.requires_grad_(True)
    narrow = {"lstm": lambda: Classifier(width=4), "vit": lambda: ViT(width=8, depth=1)}[which]()
    declare_units(narrow, inputs)
    narrow.eval()
    with torch.enable_grad():
        check(narrow, lambda: narrow(inputs))


def test_units_of_a_residual_block_are_theirs():
    module, inputs = model_and_inputs("resnet")
    declare_units(module, inputs)
    module.eval()
    with torch.no_grad():
        for block in module.blocks:
            block.bn1.bias.fill_(2.0)  # so that a ReLU lets every unit through
    check(module, lambda: module(inputs))


def test_what_units_do_is_what_their_reader_is_given():
    module, images = model_and_inputs("resnet")
    declare_units(module, images)
    module.eval()
    layer = hidden_layers(module)[0]
    block = module.blocks[0]
    wanted = functional.relu(block.bn1(block.conv1(module.stem(images))))
    torch.testing.assert_close(activations(module, layer, lambda: module(images)), wanted.transpose(0, 1).flatten(1))


def test_declared_units_survive_copies_and_are_declared_anew():
    module, inputs = model_and_inputs("gpt")
    declare_units(module, inputs)
    assert hidden_layers(copy.deepcopy(module)) == hidden_layers(module)
    assert len(hidden_layers(pickle.loads(pickle.dumps(module)))) == 2
    known = names(module)
    assert declare_units(module, inputs).layers == hidden_layers(module)
    assert names(module) == known


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


def network_of(module: nn.Module) -> Network:
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return Network("model", module, initial, torch.optim.Adam(module.parameters()), head=("head",))


def plant(module: Any, which: str) -> tuple[str, int]:
    """A unit that is silent on everything, and where."""
    with torch.no_grad():
        if which == "resnet":
            module.blocks[3].bn1.bias[2] = -100.0
            return "blocks.3.conv1", 2
        source = {"gpt": "blocks.1.c_fc", "lstm": "hidden", "vit": "encoder.layers.1.linear1"}[which]
        module.get_submodule(source).weight[2] = 0.0
        module.get_submodule(source).bias[2] = -100.0
        return source, 2


@pytest.mark.parametrize("which", MODELS)
def test_redo_begins_a_silent_unit_anew_and_outputs_stay(which: str):
    module, inputs = model_and_inputs(which)
    declare_units(module, inputs)
    network = network_of(module)
    name, unit = plant(module, which)
    module.eval()
    before, output = {key: value.clone() for key, value in module.state_dict().items()}, module(inputs)
    manager = PlasticityManager([network], parse_method("redo:tau=0"), Never())
    event = manager.act(Position(1, 1), {"model": lambda: module(inputs).square().mean()})
    outcome = event.networks[0].outcome
    assert outcome[f"reset {name}"] >= 1
    layer = next(layer for layer in hidden_layers(module) if layer.name == name)
    for weights in layer.outgoing:
        assert not weights.of(module)[unit].any()
    weight, *biases = layer.incoming
    assert weight.of(module)[unit].any()
    assert all(bias.of(module)[unit] == 0 for bias in biases)
    for weights in layer.norm:
        assert weights.of(module)[unit] == network.initial[weights.name][unit], "a gain is 1 and a shift 0 again"
    layers = [layer for layer in hidden_layers(module) if outcome[f"reset {layer.name}"]]
    touched = {weights.name for each in layers for weights in (*each.incoming, *each.outgoing, *each.norm)}
    for key, value in module.state_dict().items():
        assert key in touched or torch.equal(value, before[key])
    torch.testing.assert_close(module(inputs), output, atol=1e-5, rtol=1e-5)
    assert activations(module, layer, lambda: module(inputs))[unit].any(), "it is silent no more"


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("method", ["cbp:replacement_rate=0.2,maturity=1", "snr:longest=2,apply_every=1"])
def test_methods_that_act_at_every_step_replace_units_there(which: str, method: str):
    module, inputs = model_and_inputs(which)
    declare_units(module, inputs)
    network = network_of(module)
    plant(module, which)
    manager = PlasticityManager([network], parse_method(method), Never())
    for _ in range(4):
        module.zero_grad()
        module(inputs).square().mean().backward()
        assert network.optimizer is not None
        network.optimizer.step()
        manager.after_step("model")
    assert manager.figures()["model/replaced units"] > 0


def test_measures_of_units_are_taken_or_one_line_says_that_they_are_missing():
    module, inputs = model_and_inputs("resnet")
    network = network_of(module)
    loss = lambda: module(inputs).square().mean()  # noqa: E731
    with pytest.warns(
        UserWarning, match=r"'model': no hidden units are known, so dormant, dead and active are missing"
    ):
        assert "dormant" not in measure(network, loss=loss)
    with pytest.raises(ValueError, match=r"no hidden layer that is known; fire_rl\.declare_units\(module, inputs\)"):
        PlasticityManager([network], parse_method("redo"), Never())
    declare_units(module, inputs)
    name, _ = plant(module, "resnet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure(network, loss=loss)
    assert values[f"dead/{name}"] == pytest.approx(1 / 8)
    assert 0 < values["active"] < 1
    headless = Network("model", module, network.initial)
    with pytest.warns(UserWarning, match="it names no head, so effective_rank"):
        measure(headless, loss=loss)


def test_units_whose_readers_are_frozen_are_left_alone():
    module, inputs = model_and_inputs("lstm")
    declare_units(module, inputs)
    assert [layer.name for layer in hidden_layers(module)] == ["hidden"]
    module.head.requires_grad_(False)
    assert hidden_layers(module) == ()


def test_an_injection_takes_the_place_of_layers_that_were_found():
    module, inputs = model_and_inputs("lstm")
    declare_units(module, inputs)
    manager = PlasticityManager([network_of(module)], parse_method("injection"), Never())
    manager.act(Position(1, 1))
    assert hidden_layers(module) == ()
    declare_units(module, inputs)
