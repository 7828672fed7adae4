"""`declare_units` on a ResNet, a GPT, an LSTM and a ViT, and the methods and measures that use the units it finds."""

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
from tests.fixtures.units import activations, check, names

MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], list[str]]] = {
    "resnet": (lambda: ResNet18(4), lambda: torch.randn(4, 3, 8, 8), [f"blocks.{number}.conv1" for number in range(8)]),
    "gpt": (GPT, lambda: torch.randint(64, (2, 9)), ["blocks.0.c_fc", "blocks.1.c_fc"]),
    "lstm": (Classifier, lambda: torch.randint(50, (3, 7)), ["hidden"]),
    "vit": (ViT, lambda: torch.randn(2, 3, 16, 16), ["encoder.layers.0.linear1", "encoder.layers.1.linear1"]),
}


def model_and_inputs(which: str) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    make, inputs, _ = MODELS[which]
    return make(), inputs()


@pytest.mark.parametrize("which", MODELS)
def test_units_of_common_models_are_found_and_nothing_else_changes(which: str):
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
def test_units_of_common_models_have_their_own_weights(which: str):
    module, inputs = model_and_inputs(which)
    declare_units(module, inputs)
    module.eval()
    module.requires_grad_(True)
    narrow = {"lstm": lambda: Classifier(width=4), "vit": lambda: ViT(width=8, depth=1)}[which]()
    declare_units(narrow, inputs)
    narrow.eval()
    with torch.enable_grad():
        check(narrow, lambda: narrow(inputs))


def test_units_of_a_residual_block_have_their_own_weights():
    module, inputs = model_and_inputs("resnet")
    declare_units(module, inputs)
    module.eval()
    with torch.no_grad():
        for block in module.blocks:
            block.bn1.bias.fill_(2.0)  # so that a ReLU lets every unit through
    check(module, lambda: module(inputs))


def test_the_activations_of_units_are_the_inputs_of_their_reader():
    module, images = model_and_inputs("resnet")
    declare_units(module, images)
    module.eval()
    layer = hidden_layers(module)[0]
    block = module.blocks[0]
    wanted = functional.relu(block.bn1(block.conv1(module.stem(images))))
    torch.testing.assert_close(activations(module, layer, lambda: module(images)), wanted.transpose(0, 1).flatten(1))


def test_declared_units_survive_copies_and_can_be_declared_again():
    module, inputs = model_and_inputs("gpt")
    declare_units(module, inputs)
    assert hidden_layers(copy.deepcopy(module)) == hidden_layers(module)
    assert len(hidden_layers(pickle.loads(pickle.dumps(module)))) == 2
    known = names(module)
    assert declare_units(module, inputs).layers == hidden_layers(module)
    assert names(module) == known


def network_of(module: nn.Module) -> Network:
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return Network("model", module, initial, torch.optim.Adam(module.parameters()), head=("head",))


def plant(module: Any, which: str) -> tuple[str, int]:
    """Make a unit silent on every input. Return its layer and its number."""
    with torch.no_grad():
        if which == "resnet":
            module.blocks[3].bn1.bias[2] = -100.0
            return "blocks.3.conv1", 2
        source = {"gpt": "blocks.1.c_fc", "lstm": "hidden", "vit": "encoder.layers.1.linear1"}[which]
        module.get_submodule(source).weight[2] = 0.0
        module.get_submodule(source).bias[2] = -100.0
        return source, 2


@pytest.mark.parametrize("which", MODELS)
def test_redo_resets_a_silent_unit_and_outputs_stay(which: str):
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
    assert activations(module, layer, lambda: module(inputs))[unit].any(), "it is not silent any more"


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("method", ["cbp:replacement_rate=0.2,maturity=1", "snr:longest=2,apply_every=1"])
def test_methods_that_act_at_every_step_replace_units_there(which: str, method: str):
    module, inputs = model_and_inputs(which)
    declare_units(module, inputs)
    network: Any = network_of(module)
    plant(module, which)
    manager = PlasticityManager([network], parse_method(method), Never())
    for _ in range(4):
        module.zero_grad()
        module(inputs).square().mean().backward()
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


def test_an_injection_replaces_layers_that_were_found():
    module, inputs = model_and_inputs("lstm")
    declare_units(module, inputs)
    manager = PlasticityManager([network_of(module)], parse_method("injection"), Never())
    manager.act(Position(1, 1))
    assert hidden_layers(module) == ()
    declare_units(module, inputs)
