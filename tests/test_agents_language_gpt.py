"""GPT by name: its sizes and initial values, which tokens its scores depend on, its optimizer and its learning rate."""

import math
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from fire_rl.agents.language import (
    GPT,
    SIZES,
    GPTName,
    GPTSizes,
    LanguageModelSettings,
    adamw_grouped,
    gpt_sizes,
    make_gpt,
    published,
    share_of_rate,
)
from fire_rl.agents.optimizers import optimizer_tensors

TINY = GPTSizes(layers=2, heads=2, width=16, context=12, vocabulary=40)
TOKENS = torch.from_numpy(np.random.default_rng(0).integers(40, size=(3, 12)))


def loss_of(module: GPT) -> Tensor:
    return functional.cross_entropy(module(TOKENS[:, :-1]).flatten(0, 1), TOKENS[:, 1:].flatten())


@pytest.mark.parametrize("name", SIZES)
def test_the_parameters_of_a_name_are_counted_by_arithmetic(name):
    with torch.device("meta"):
        module = GPT(SIZES[name])
    assert SIZES[name].parameters == sum(parameter.numel() for parameter in module.parameters())
    assert SIZES[name].width // SIZES[name].heads == 64  # as published


def test_names_are_the_same_in_settings():
    assert get_args(GPTName) == tuple(SIZES)


def test_the_published_size_has_the_published_number_of_parameters():
    assert SIZES["gpt-0.1b"].parameters == 124_373_760


def test_vocabulary_and_context_may_be_those_of_the_data():
    sizes = gpt_sizes("gpt-small", vocabulary=257, context=64)
    assert make_gpt(sizes, 0)(torch.zeros(2, 64, dtype=torch.long)).shape == (2, 64, 257)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda: gpt_sizes("gpt-smal"),
            "network 'gpt-smal' given; allowed are gpt-0.1b, gpt-10m, gpt-small; nearest is",
        ),
        (lambda: GPTSizes(2, 3, 16, 8, 40), "width=16 given; allowed are multiples of its 3 heads"),
        (lambda: GPTSizes(0, 1, 16, 8, 40), "layers=0 given; allowed is 1 or more"),
        (lambda: make_gpt(TINY, 0)(torch.zeros(1, 13, dtype=torch.long)), "13 tokens given; allowed are at most 12"),
        (lambda: published("30000"), "start '30000' given; allowed are best, 30k, 60k"),
        (
            lambda: LanguageModelSettings(warm_up=2.0).check(),
            "--warm-up 2.0 given; allowed is a finite number from 0 to",
        ),
    ],
)
def test_impossible_sizes_are_refused_in_one_line(act, said):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as raised:
        act()
    assert said in str(raised.value)


def test_initial_values_follow_from_the_seed_alone_and_have_the_published_spread():
    before = torch.get_rng_state()
    module, same, other = (make_gpt(gpt_sizes("gpt-small"), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in module.named_parameters():
        assert torch.equal(value, same.get_parameter(name))
        if value.ndim == 1:
            assert torch.equal(value, torch.ones_like(value))
            continue
        assert not torch.equal(value, other.get_parameter(name))
        residual = name.endswith(("attention.output.weight", "contract.weight"))
        assert value.std().item() == pytest.approx(0.02 / math.sqrt(8) if residual else 0.02, rel=0.03)
        assert abs(value.mean().item()) < 0.001


def test_scores_depend_on_no_later_token_and_on_every_earlier_one():
    module = make_gpt(TINY, 0)
    scores, changed = module(TOKENS), TOKENS.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 40
    differs = (module(changed) - scores).abs().amax((0, 2)) > 1e-7
    assert differs.tolist() == [False] * 5 + [True] * 7


def test_a_short_sequence_has_the_scores_that_a_longer_one_begins_with():
    module = make_gpt(TINY, 0)
    torch.testing.assert_close(module(TOKENS[:, :7]), module(TOKENS)[:, :7])


def test_a_new_network_predicts_all_tokens_with_equal_probability():
    assert loss_of(make_gpt(TINY, 0)).item() == pytest.approx(math.log(40), rel=0.01)


def test_the_state_holds_the_tied_weight_once_so_that_it_can_be_saved():
    module, other = make_gpt(TINY, 0), make_gpt(TINY, 1)
    saved = safetensors.torch.save(module.state_dict())
    assert sum(value.numel() for value in module.state_dict().values()) == TINY.parameters
    other.load_state_dict(safetensors.torch.load(saved))
    assert torch.equal(module(TOKENS), other(TOKENS))


def test_weight_decay_acts_on_matrices_and_embeddings_alone():
    module = make_gpt(TINY, 0)
    optimizer = adamw_grouped(module, learning_rate=0.01, weight_decay=0.5)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    ordered = [names[id(each)] for group in optimizer.param_groups for each in group["params"]]
    assert sorted(ordered) == sorted(names.values())
    held = dict(optimizer_tensors(optimizer, ordered))
    assert len(held) == 3 * len(ordered)
    assert not any(value.any() for value in held.values())
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in module.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] * (1 - 0.01 * 0.5 * (value.ndim > 1)))


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    shares = [share_of_rate(update, 1_000) for update in range(1_001)]
    assert shares[0] == pytest.approx(1 / 101)
    assert shares[99] == pytest.approx(100 / 101)
    assert shares[100] == max(shares) == 1.0
    assert shares[550] == pytest.approx(0.55)  # halfway down
    assert shares[1_000] == pytest.approx(0.1)
    assert share_of_rate(0, 1) == 1.0
    assert share_of_rate(2_000, 100_000) == 1.0 > share_of_rate(1_999, 100_000)
