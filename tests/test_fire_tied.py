"""A weight that two modules share, and a module with two names: what methods reset, shrink, keep and refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import MethodNetwork, Reset, ResetHead, ShrinkPerturb
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
