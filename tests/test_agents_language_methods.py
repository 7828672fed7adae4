"""Methods and measures know the parts of a GPT: its matrices, its hidden units and the inputs of its head."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.agents.language import GPT, GPTSizes, adamw_grouped, make_gpt, published
from fire_rl.agents.language.gpt import ENCODER, HEAD
from fire_rl.fire import (
    METHODS,
    Network,
    Never,
    PlasticityManager,
    Position,
    hidden_layers,
    measure,
    parse_method,
    parse_regularizer,
    spell,
    take_inventory,
)

TINY = GPTSizes(layers=2, heads=2, width=16, context=12, vocabulary=40)
TOKENS = torch.from_numpy(np.random.default_rng(0).integers(40, size=(3, 12)))


def loss_of(module: GPT) -> Tensor:
    return functional.cross_entropy(module(TOKENS[:, :-1]).flatten(0, 1), TOKENS[:, 1:].flatten())


def network_of(module: GPT) -> Network:
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return Network("gpt", module, initial, adamw_grouped(module), head=HEAD, encoder=ENCODER)


def trained(network: Network, manager: PlasticityManager | None = None, updates: int = 3) -> None:
    assert network.optimizer is not None
    for _ in range(updates):
        loss = loss_of(network.module)  # type: ignore[arg-type]
        if manager is not None and (penalty := manager.penalty("gpt")) is not None:
            loss = loss + penalty
        network.optimizer.zero_grad()
        loss.backward()
        network.optimizer.step()
        if manager is not None and manager.acts_every_step:
            manager.after_step("gpt")


def test_fire_knows_query_key_and_value_as_matrices_and_the_tied_one_by_choice():
    module = make_gpt(TINY, 0)
    inventory = take_inventory(module).declared()
    assert len(inventory.matrices) == 1 + 6 * TINY.layers
    first, *others = inventory.matrices
    assert (first.name, first.caveats) == ("output.weight", frozenset({"tied"}))
    assert [each.name for each in others[:4]] == [
        *(f"blocks.0.attention.query_key_value.weight.{part}" for part in ("query", "key", "value")),
        "blocks.0.attention.output.weight",
    ]
    assert {(each.d_out, each.d_in) for each in others} == {(16, 16), (64, 16), (16, 64)}


@pytest.mark.parametrize(
    ("spelled", "untouched"),
    [
        ("fire", {"positions.weight"}),
        ("fire:tied=skip", {"positions.weight", "output.weight"}),
        ("fire:include=*.query|*.key", None),
    ],
)
def test_published_fire_writes_every_matrix_but_positions(spelled, untouched):
    network: Any = network_of(make_gpt(TINY, 0))
    manager = PlasticityManager([network], parse_method(spelled, published()), Never())
    trained(network)
    before = {name: value.detach().clone() for name, value in network.module.named_parameters()}
    manager.act(Position(3, 3))
    same = {name for name, value in network.module.named_parameters() if torch.equal(value, before[name])}
    if untouched is None:
        value = slice(2 * TINY.width, None)
        fused = "blocks.1.attention.query_key_value.weight"
        assert torch.equal(network.module.get_parameter(fused)[value], before[fused][value])
        assert same == set(before) - {"blocks.0.attention.query_key_value.weight", fused}
    else:
        assert same == untouched | {name for name, value in before.items() if value.ndim == 1}
    assert not any(state["exp_avg"].any() for state in network.optimizer.state.values())


def test_the_published_hyper_parameters_belong_to_each_kind_of_start():
    kept = {start: spell(published(start)["shrink-perturb"]) for start in ("best", "30k", "60k")}
    assert kept["best"] == kept["60k"] == "shrink-perturb:keep=0.5"
    assert published("30k")["shrink-perturb"] == parse_method("shrink-perturb:keep=0.2")
    assert spell(published()["fire"]) == "fire:steps=5,tied=project"
    assert list(published()) == ["none", "reset", "shrink-perturb", "fire"]


def test_a_reset_leaves_a_new_network():
    network = network_of(make_gpt(TINY, 0))
    manager = PlasticityManager([network], published()["reset"], Never())
    trained(network)
    manager.act(Position(3, 3))
    new = make_gpt(TINY, 0)
    assert all(torch.equal(value, new.get_parameter(name)) for name, value in network.module.named_parameters())


def test_the_hidden_units_are_those_of_the_feed_forward_networks():
    layers = hidden_layers(make_gpt(TINY, 0))
    assert [layer.name for layer in layers] == [f"blocks.{block}.feed_forward.activation" for block in range(2)]
    assert {layer.shape for layer in layers} == {(64,)}


def test_redo_resets_dead_units_and_leaves_the_scores_as_they_were():
    network = network_of(make_gpt(TINY, 0))
    module = network.module
    assert isinstance(module, GPT)
    manager = PlasticityManager([network], parse_method("redo:tau=0"), Never())
    expand = module.get_parameter("blocks.1.feed_forward.expand.weight")
    with torch.no_grad():
        expand[[3, 11]] = 0.0  # GELU of 0 is 0
    scores = module(TOKENS)
    event = manager.act(Position(1, 1), {"gpt": lambda: loss_of(module)})
    assert (expand[[3, 11]] != 0).all()
    assert not module.get_parameter("blocks.1.feed_forward.contract.weight")[:, [3, 11]].any()
    assert torch.equal(module(TOKENS), scores)
    (report,) = event.networks
    assert report.outcome["reset blocks.1.feed_forward.activation"] == 2
    assert report.outcome["reset blocks.0.feed_forward.activation"] == 0


@pytest.mark.parametrize("spelled", ["cbp:replacement_rate=0.1,maturity=1", "snr"])
def test_methods_of_every_step_act_on_these_units(spelled):
    network = network_of(make_gpt(TINY, 0))
    manager = PlasticityManager([network], parse_method(spelled), Never())
    trained(network, manager, updates=4)
    manager.close()
    figures = manager.method.figures(manager._given[0][1]["gpt"])
    assert figures
    if spelled.startswith("cbp"):
        assert sum(float(value) for value in figures.values()) > 0
    assert torch.isfinite(loss_of(network.module))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("injection", "none")])
def test_every_method_acts_on_it(name):
    network = network_of(make_gpt(TINY, 0))
    method = parse_method(name, published())
    manager = PlasticityManager([network], method, Never())
    trained(network, manager)
    if method.acts_at_events:
        manager.act(Position(3, 3), {"gpt": lambda: loss_of(network.module)})  # type: ignore[arg-type]
        trained(network, manager)
    assert torch.isfinite(loss_of(network.module))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["l2-init", "parseval", "spectral"])
def test_every_regularizer_acts_on_it(name):
    network = network_of(make_gpt(TINY, 0))
    manager = PlasticityManager([network], parse_method("none"), Never(), [parse_regularizer(name)])
    trained(network, manager)
    assert torch.isfinite(loss_of(network.module))  # type: ignore[arg-type]


def test_every_measure_is_there_the_hessian_too_with_tokens_as_the_examples_of_features():
    network = network_of(make_gpt(TINY, 0))
    module = network.module
    assert isinstance(module, GPT)
    trained(network)
    found = measure(network, loss=lambda: loss_of(module), run=lambda: module(TOKENS), hessian=True)
    assert found["feature_examples"] == TOKENS.numel()
    for name in ("dormant", "dead", "active", "deviation", "effective_rank", "stable_rank", "gradient_norm", "hessian"):
        assert math.isfinite(found[name])
    assert "dormant/blocks.0.feed_forward.activation" in found
    assert found["effective_rank"] > 4


def test_the_hessian_is_that_of_attention_written_out(monkeypatch):
    """The largest eigenvalue of the exact Hessian."""
    network = network_of(make_gpt(GPTSizes(1, 1, 4, 4, 5), 0).double())
    tokens, module = torch.tensor([[0, 3, 1, 4]]), network.module

    def loss() -> Tensor:
        return functional.cross_entropy(module(tokens)[0, :-1], tokens[0, 1:])

    def written_out(query: Tensor, key: Tensor, value: Tensor, is_causal: bool) -> Tensor:
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(later, -math.inf).softmax(-1) @ value

    found = measure(network, loss=loss, hessian=True)["hessian"]
    values = {name: value.detach() for name, value in module.named_parameters()}

    def of(flat: Tensor) -> Tensor:
        parts = flat.split([value.numel() for value in values.values()])
        given = {name: part.view_as(values[name]) for name, part in zip(values, parts, strict=True)}
        scores = torch.func.functional_call(module, given, (tokens,))
        return functional.cross_entropy(scores[0, :-1], tokens[0, 1:])

    monkeypatch.setattr(functional, "scaled_dot_product_attention", written_out)
    hessian = torch.autograd.functional.hessian(of, nn.utils.parameters_to_vector(values.values()))
    assert found == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-3)
