"""A weight that two modules share, and a module with two names: what methods reset, shrink, keep and refuse."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Dash, Fire, MethodNetwork, Reset, ResetHead, ShrinkPerturb, take_inventory
from fire_rl.fire.matrices import last_layers
from tests.fixtures.small_q_network import values


class LanguageModel(nn.Module):
    """Its output layer has the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.body = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.norm, self.output = nn.LayerNorm(4), nn.Linear(4, 7, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.norm(self.body(self.embedding(tokens))))


class TwoNames(nn.Module):
    """Its head has a second name, in the sequence in which the layers run."""

    def __init__(self) -> None:
        super().__init__()
        encoder, head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.layers = nn.Sequential(encoder, nn.ReLU(), head)
        self.encoder, self.head = encoder, head

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


def trained(module: nn.Module, inputs: Tensor, **parts: tuple[str, ...]) -> Any:
    """Return a network after two updates."""
    initial = values(module)
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    for _ in range(2):
        module(inputs).square().sum().backward()
        optimizer.step()
    return MethodNetwork("net", module, initial, optimizer, **parts)  # type: ignore[arg-type]


def language_model() -> Any:
    torch.manual_seed(0)
    parts = {"encoder": ("embedding", "body"), "head": ("norm", "output")}
    return trained(LanguageModel(), torch.arange(7), **parts)


def two_names() -> Any:
    torch.manual_seed(0)
    return trained(TwoNames(), torch.randn(5, 3), encoder=("encoder",), head=("head",))


def test_a_frozen_tied_weight_is_not_reset_and_every_name_of_it_is_said():
    network = language_model()
    network.module.embedding.weight.requires_grad_(False)
    before = network.module.embedding.weight.clone()
    Reset().act(network)
    assert torch.equal(network.module.embedding.weight, before)
    assert Reset().notes(network)[0].endswith("frozen (requires_grad is False): embedding.weight, output.weight")


@pytest.mark.parametrize("scope", ["encoder", "head"])
def test_a_tied_weight_is_shrunk_in_the_scope_and_not_reset_outside_of_it(scope):
    network = language_model()
    before = network.module.embedding.weight.detach().clone()
    method = ShrinkPerturb(scope=scope, outside="reset")
    method.check(network)
    method.act(network)
    wanted = 0.2 * before + 0.8 * network.initial["embedding.weight"]
    torch.testing.assert_close(network.module.embedding.weight.detach(), wanted)


@pytest.mark.parametrize("scope", ["encoder", "head"])
@pytest.mark.parametrize("method", [ShrinkPerturb(), Dash(), Fire(tied="project")])
def test_a_tied_weight_with_one_name_in_the_scope_is_rewritten_and_not_said_to_be_reset(method, scope):
    network = language_model()
    before, initial = network.module.embedding.weight.detach().clone(), network.initial["embedding.weight"]
    network = replace(network, loss=lambda: network.module(torch.arange(7)).square().sum())
    method = method.altered({"scope": scope, "outside": "reset"})
    method.check(network)
    method.act(network)
    weight, outside = network.module.output.weight, network.module.get_parameter("body.weight")
    assert not torch.allclose(weight, before)
    assert not torch.allclose(weight, initial)
    reset = [each.name for each in take_inventory(network.module).matrices if method.resets(network)(each.name)]
    assert reset == ([] if scope == "encoder" else ["body.weight"])
    assert torch.equal(outside, network.initial["body.weight"]) == (scope == "head")


def test_projecting_a_weight_of_which_one_half_is_to_be_kept_is_refused():
    network = language_model()
    Fire(scope="encoder").check(network)  # it leaves tied weights unchanged
    with pytest.raises(ValueError, match=r"scope=encoder: .* is the same weight as .* which would be kept"):
        Fire(scope="encoder", tied="project").check(network)
    network.module.body.weight = nn.Parameter(torch.randn(4, 4))
    network.module.norm = nn.Linear(4, 4)
    network.module.norm.weight = network.module.body.weight
    network = MethodNetwork("net", network.module, values(network.module), encoder=("body",), head=("norm",))
    with pytest.raises(
        ValueError, match=r"'body\.weight' .* is the same weight as 'norm\.weight', which would be kept"
    ):
        Fire(scope="encoder").check(network)


@pytest.mark.parametrize(
    "method",
    [Reset(scope="head"), Reset(scope="encoder"), Fire(scope="encoder"), ResetHead(), ResetHead(layers="last")],
)
def test_a_module_in_both_encoder_and_head_is_refused(method):
    module: Any = nn.Module()
    module.trunk = nn.Linear(3, 4)
    module.head = (
        nn.Sequential(module.trunk)
        if method == ResetHead(layers="last")
        else nn.Sequential(module.trunk, nn.ReLU(), nn.Linear(4, 2))
    )
    network = MethodNetwork("net", module, values(module), encoder=("trunk",), head=("head",))
    with pytest.raises(
        ValueError, match=r"is the same weight as '(trunk|head\.0)\.(weight|bias)', which would be kept"
    ):
        method.check(network)


def test_a_frozen_tied_weight_is_no_reason_to_refuse_a_method_that_leaves_it_unchanged():
    network = language_model()
    network.module.embedding.weight.requires_grad_(False)
    for method in (Reset(scope="head"), ShrinkPerturb(scope="encoder")):
        method.check(network)
    with pytest.raises(ValueError, match="which would be kept"):
        ResetHead().check(network)


def test_the_last_layer_is_also_found_if_an_earlier_one_has_its_weight():
    module: Any = nn.Module()
    module.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Linear(4, 4))
    module.head[3].weight = module.head[0].weight
    assert tuple(last_layers(module, ("head",))) == ("head.3",)
    network = MethodNetwork("net", module, values(module), head=("head",))
    with pytest.raises(ValueError, match=r"'head\.3\.weight' .* is the same weight as 'head\.0\.weight'"):
        ResetHead(layers="last").check(network)


@pytest.mark.parametrize(
    "method", [ResetHead(), ResetHead(layers="last"), Reset(scope="head"), ShrinkPerturb(scope="encoder")]
)
def test_a_tied_weight_of_which_one_half_is_to_be_kept_is_refused(method):
    said = r"'(output|embedding)\.weight' of network 'net' is the same weight as .* which would be kept"
    with pytest.raises(ValueError, match=said):
        method.check(language_model())


@pytest.mark.parametrize("method", [ResetHead(), ResetHead(layers="last"), Reset(scope="head")])
def test_a_head_with_two_names_is_reset(method):
    network = two_names()
    encoder = network.module.encoder.weight.detach().clone()
    method.check(network)
    method.act(network)
    assert torch.equal(network.module.head.weight, network.initial["head.weight"])
    assert torch.equal(network.module.encoder.weight, encoder)
    assert not network.optimizer.state[network.module.head.weight]["exp_avg"].any()


def test_an_encoder_with_two_names_is_shrunk_and_not_reset():
    network = two_names()
    before = network.module.encoder.weight.detach().clone()
    ShrinkPerturb(scope="encoder", outside="reset").act(network)
    wanted = 0.2 * before + 0.8 * network.initial["encoder.weight"]
    torch.testing.assert_close(network.module.encoder.weight.detach(), wanted)
    assert torch.equal(network.module.head.weight, network.initial["head.weight"])
