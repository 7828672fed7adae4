"""GPT, its update, its methods and its learning rate equal those of FIRE's public language code.

`language_reference.json` holds figures of isaac7778/FIRE at c37a0ac, which is derived from nanoGPT.
`python -m tests.fixtures.make_language CLONE` records them again.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.agents.language import GPT, GPTSizes, adamw_grouped, make_gpt, published, share_of_rate
from fire_rl.agents.language.gpt import Block
from fire_rl.fire import Network, Never, PlasticityManager, Position, parse_method
from tests.fixtures.clones import told
from tests.fixtures.make_language import (
    BATCH,
    CONTEXT,
    HEADS,
    LARGEST_NORM,
    LAYERS,
    LEAST,
    PHASES,
    RATE,
    SHARE,
    UPDATES,
    VOCABULARY,
    WIDTH,
    normal,
    tokens,
)

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "language_reference.json").read_text())
TOLERANCE = 1e-5  # relative to a tensor's norm; relative to a number
BLOCK = {
    "ln_1": "attention.norm",
    "attn.c_attn": "attention.query_key_value",
    "attn.c_proj": "attention.output",
    "ln_2": "feed_forward.norm",
    "mlp.c_fc": "feed_forward.expand",
    "mlp.c_proj": "feed_forward.contract",
}
# Our names for their parameters, in the order of theirs.
NAMES = {
    "transformer.wte.weight": "output.weight",
    "transformer.wpe.weight": "positions.weight",
    **{
        f"transformer.h.{block}.{theirs}.weight": f"blocks.{block}.{ours}.weight"
        for block in range(LAYERS)
        for theirs, ours in BLOCK.items()
    },
    "transformer.ln_f.weight": "norm.weight",
}


pytestmark = pytest.mark.usefixtures("one_thread")


def filled(module: nn.Module, names: list[str], seed: int) -> None:
    with torch.no_grad():
        for index, name in enumerate(names):
            parameter = module.get_parameter(name)
            parameter.copy_(normal(tuple(parameter.shape), seed + index) + (parameter.ndim == 1))


def model() -> GPT:
    made = make_gpt(GPTSizes(LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY), seed=0)
    filled(made, list(NAMES.values()), 100)
    return made


def assert_alike(ours: Tensor, theirs: dict[str, Any]) -> None:
    figures = told(ours)
    assert figures["norm"] == pytest.approx(theirs["norm"], rel=TOLERANCE)
    assert figures["entries"] == pytest.approx(theirs["entries"], abs=TOLERANCE * theirs["norm"])


def loss_on(module: GPT, number: int) -> Tensor:
    batch = tokens(number)
    return functional.cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def test_every_parameter_has_a_name():
    assert list(REFERENCE["after"]) == list(NAMES)
    assert sorted(NAMES.values()) == sorted(name for name, _ in model().named_parameters())


def test_a_block_returns_the_same():
    block = Block(WIDTH, HEADS)
    filled(block, [f"{name}.weight" for name in BLOCK.values()], 500)
    assert_alike(block(normal((BATCH, CONTEXT, WIDTH), 600, spread=1.0)), REFERENCE["block"])


def test_updates_give_the_same_losses_and_weights():
    module = model()
    optimizer = adamw_grouped(module)
    losses, norms = [], []
    for update in range(UPDATES):
        loss = loss_on(module, update)
        optimizer.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(module.parameters(), LARGEST_NORM).item())
        for group in optimizer.param_groups:
            group["lr"] = RATE * share_of_rate(update, 20)
        optimizer.step()
        losses.append(loss.item())
    losses.append(loss_on(module, UPDATES).item())
    assert losses == pytest.approx(REFERENCE["losses"], rel=TOLERANCE)
    assert norms == pytest.approx(REFERENCE["gradient_norms"], rel=TOLERANCE)
    for theirs, ours in NAMES.items():
        assert_alike(module.get_parameter(ours), REFERENCE["after"][theirs])


@pytest.mark.parametrize(
    ("spelled", "key"), [("fire", "fire"), (f"shrink-perturb:keep={1 - SHARE:.1f}", "shrink_and_perturb")]
)
def test_a_method_leaves_the_same_weights(spelled, key):
    module, initial = model(), model()
    filled(initial, list(NAMES.values()), 300)
    network = Network("gpt", module, dict(initial.state_dict()), adamw_grouped(module))
    PlasticityManager([network], parse_method(spelled, published()), Never()).act(Position(1, 1))
    for theirs, ours in NAMES.items():
        assert_alike(module.get_parameter(ours), REFERENCE[key][theirs])


@pytest.mark.parametrize("phase", PHASES)
def test_the_learning_rate_is_the_same(phase):
    rates = {int(update): rate for update, rate in REFERENCE["rates"][str(phase)].items()}
    ours = {update: RATE * share_of_rate(update, phase, least=LEAST / RATE) for update in rates}
    assert ours == pytest.approx(rates, rel=1e-8)
