"""Regularizers compared with public code, and with their equations written out.

`regularizers_reference.json` holds penalties and their gradients by autograd. Weights are the n-th of `numbers`:
- l2_init: skumar9876/L2_Init (commit 3f86d26), `L2InitAgent.compute_loss` minus the loss with weight 0, of its MLP with
  5, 4, 4 and 3 units, whose initial parameters are `numbers` from 0 on and its own from 50 on.
- parseval: wechu/parseval_reg (commit e861c30), `parseval_reg_network` within the agent's update, on the policy network
  that `AgentNetworks` makes (width 8) with (64 / 8)^2 and strength 1e-3 as it is called there; for 1 and 2 groups.
- parseval_convolution: isaac7778/FIRE (commit c37a0ac), `parseval_loss_matrix` of a convolution's flattened filters.
The authors of the spectral regularizer have published no code. It is compared with NumPy's singular values.
`python -m tests.fixtures.make_regularizers` records the figures again from clones of these.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Actor, Critic
from fire_rl.fire import MethodNetwork
from fire_rl.fire.regularizers import L2Init, Parseval, Regularizer, Spectral, WeightDecay
from fire_rl.fire.regularizers.parseval import hidden_matrices
from fire_rl.fire.regularizers.trained import trained_matrices
from tests.fixtures.make_regularizers import numbers

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "regularizers_reference.json").read_text())


@torch.no_grad()
def fill(module: nn.Module, start: int = 0) -> None:
    for n, parameter in enumerate(module.parameters()):
        parameter.copy_(numbers(tuple(parameter.shape), start + n))


def mlp(*widths: int) -> nn.Sequential:
    layers = [layer for sides in pairwise(widths) for layer in (nn.Linear(*sides), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def network_of(module: nn.Module, *head: str) -> MethodNetwork:
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return MethodNetwork("n", module, initial, head=head, generator=torch.Generator().manual_seed(3))


def penalty_and_gradients(regularizer: Regularizer, network: MethodNetwork) -> tuple[Tensor, list[Tensor | None]]:
    value: Any = regularizer.penalty(network)
    return value.detach(), list(torch.autograd.grad(value, list(network.module.parameters()), allow_unused=True))


def begun(spectral: Spectral, network: MethodNetwork) -> Spectral:
    """Put each matrix's first left singular vector, computed by LAPACK, into the memory. Power iteration keeps it."""
    spectral.begin(network)
    for found in trained_matrices(network.module):
        left = torch.linalg.svd(found.rows().double()).U[..., 0]
        network.memory[found.name].copy_(left)
    return spectral


def assert_gradients(found: list[Tensor | None], expected: list[Any], tolerance: float = 1e-5) -> None:
    assert [value is None for value in found] == [value is None for value in expected]
    for value, wanted in zip(found, expected, strict=True):
        if value is not None:
            torch.testing.assert_close(
                value.flatten(), torch.as_tensor(wanted).flatten(), rtol=tolerance, atol=tolerance
            )


def test_l2_init_equals_the_public_code_whose_weight_it_halves():
    reference = REFERENCE["l2_init"]
    module = mlp(5, 4, 4, 3)
    fill(module)
    network = network_of(module)
    fill(module, 50)
    value, gradients = penalty_and_gradients(L2Init(strength=reference["weight"] / 2), network)
    assert value.item() == pytest.approx(reference["penalty"], rel=1e-5)
    assert_gradients(gradients, reference["gradients"])


@pytest.mark.parametrize("groups", [1, 2])
def test_parseval_equals_the_public_code(groups):
    reference = REFERENCE["parseval"][str(groups)]
    module = mlp(5, 8, 8, 3)
    fill(module)
    value, gradients = penalty_and_gradients(Parseval(strength=1e-3, groups=groups), network_of(module))
    assert value.item() == pytest.approx(reference["penalty"], rel=1e-6)
    assert_gradients(gradients, reference["gradients"])
    assert gradients[4] is None, "the output layer is free"


def test_a_convolution_s_filters_are_the_rows():
    reference = REFERENCE["parseval_convolution"]
    for memory_format in (torch.contiguous_format, torch.channels_last):
        module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(4, 2))
        fill(module)
        module[0].to(memory_format=memory_format)  # type: ignore[call-overload]
        regularizer = Parseval(strength=(4 / 64) ** 2, scale=reference["scale"])
        value, gradients = penalty_and_gradients(regularizer, network_of(module))
        assert value.item() == pytest.approx(reference["penalty"], rel=1e-5)
        assert_gradients(gradients, [reference["gradient"], None, None, None])


def agents_networks() -> dict[str, MethodNetwork]:
    """Return the networks of both agents, small, after some training."""
    torch.manual_seed(0)
    critic, actor = Critic(7, 3, 16, 2, 2), Actor(7, 3, 16, 1)
    atari, vectors = make_network("nature", (4, 36, 36), 5, width=32), make_network("mlp", (6,), 4, width=16)
    for module in (critic, actor, atari, vectors):
        module.initialise(torch.Generator().manual_seed(1))
    networks = {
        "critic": network_of(critic, "value"),
        "actor": network_of(actor, "mean", "log_std"),
        "atari": network_of(atari, "head"),
        "vectors": network_of(vectors, "head"),
    }
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.module.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return networks


NETWORKS = agents_networks()


def matrices_of(kind: str, parameter: Tensor) -> list[Tensor]:
    """Return the (d_out, d_in) matrices of a weight, as its agent stores it."""
    if parameter.dim() == 4:
        return [parameter.flatten(1)]
    if kind in ("atari", "vectors"):
        return [parameter]
    return [member.T for member in parameter.reshape(-1, *parameter.shape[-2:])]


def is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.dim() > 1 and name.endswith("weight") and "norm" not in name


def by_autograd(value: Tensor, network: MethodNetwork) -> tuple[Tensor, list[Tensor | None]]:
    gradients = torch.autograd.grad(value, list(network.module.parameters()), allow_unused=True)
    return value.detach(), list(gradients)


@pytest.mark.parametrize("kind", NETWORKS)
def test_l2_init_equals_its_equation_on_the_agents_networks(kind):
    network = NETWORKS[kind]
    wanted = sum(
        ((value - network.initial[name]).square().sum() for name, value in network.module.named_parameters()),
        start=torch.zeros(()),
    )
    expected, gradients = by_autograd(0.3 * wanted, network)
    value, found = penalty_and_gradients(L2Init(strength=0.3), network)
    torch.testing.assert_close(value, expected)
    assert_gradients(found, gradients)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", NETWORKS)
def test_parseval_equals_its_equation_on_the_agents_networks(kind, groups):
    network = NETWORKS[kind]
    outputs = ("value.weight", "mean.weight", "log_std.weight", "head.2.weight")
    wanted = torch.zeros(())
    for name, parameter in network.module.named_parameters():
        if is_matrix(name, parameter) and name not in outputs:
            for matrix in matrices_of(kind, parameter):
                rows = len(matrix)
                mask = torch.block_diag(*[torch.ones(rows // groups, rows // groups)] * groups)
                error = mask * (matrix @ matrix.T) - 1.5 * torch.eye(rows)
                wanted = wanted + (64 / rows) ** 2 * error.square().sum()
    expected, gradients = by_autograd(0.02 * wanted, network)
    value, found = penalty_and_gradients(Parseval(strength=0.02, scale=1.5, groups=groups), network)
    torch.testing.assert_close(value, expected)
    assert_gradients(found, gradients, 1e-4)


@pytest.mark.parametrize("width", [64, 8, None])
@pytest.mark.parametrize(("outputs", "norms"), [("skip", "include"), ("include", "skip"), ("include", "include")])
def test_parseval_may_reach_output_layers_and_norms_and_have_one_strength(width, outputs, norms):
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 6), nn.LayerNorm(6), nn.Linear(6, 3)
    )
    fill(module)
    wanted = torch.zeros(())
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1 and (outputs == "include" or not name.startswith("5.")):
            rows = parameter.flatten(1)
            share = 1.0 if width is None else (width / len(rows)) ** 2
            wanted = wanted + share * (rows @ rows.T - 1.5 * torch.eye(len(rows))).square().sum()
        elif name in ("1.weight", "4.weight") and norms == "include":
            wanted = wanted + (parameter.square() - 1.5).square().sum()
    expected = torch.autograd.grad(0.02 * wanted, list(module.parameters()), allow_unused=True)
    regularizer = Parseval(strength=0.02, scale=1.5, width=width, outputs=outputs, norms=norms)
    value, found = penalty_and_gradients(regularizer, network_of(module))
    torch.testing.assert_close(value, 0.02 * wanted.detach())
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("kind", NETWORKS)
def test_spectral_equals_its_equation_on_the_agents_networks(kind, k):
    """Computed with NumPy's singular values and vectors, in float64."""
    network = NETWORKS[kind]
    spectral = begun(Spectral(strength=0.7, k=k), network)
    value, found = penalty_and_gradients(spectral, network)
    wanted, gradients = 0.0, []
    for name, parameter in network.module.named_parameters():
        entries = parameter.detach().double()
        if is_matrix(name, parameter):
            slopes = []
            for matrix in matrices_of(kind, entries):
                left, values, right = np.linalg.svd(matrix.numpy())
                sigma = values[0]
                wanted += (sigma**k - 1) ** 2
                slope = 2 * (sigma**k - 1) * k * sigma ** (k - 1) * np.outer(left[:, 0], right[0])
                transposed = parameter.dim() != 4 and kind in ("critic", "actor")
                slopes.append(slope.T if transposed else slope)
            gradients.append(np.stack(slopes).reshape(parameter.shape))
            continue
        slopes = []
        for row in entries.reshape(-1, parameter.shape[-1]).numpy():
            if name.endswith("bias"):
                wanted += (row @ row) ** k
                slopes.append(2 * k * (row @ row) ** (k - 1) * row)
            else:
                place = np.abs(row).argmax()
                largest = abs(row[place])
                wanted += (largest**k - 1) ** 2
                slope = np.zeros_like(row)
                slope[place] = 2 * (largest**k - 1) * k * largest ** (k - 1) * np.sign(row[place])
                slopes.append(slope)
        gradients.append(np.stack(slopes).reshape(parameter.shape))
    assert value.item() == pytest.approx(0.7 * wanted, rel=1e-4)
    for gradient, slope in zip(found, gradients, strict=True):
        assert gradient is not None
        assert np.abs(gradient.numpy() - 0.7 * slope).max() <= 1e-4 * np.abs(0.7 * slope).max()


def test_every_member_of_an_ensemble_counts_as_it_would_alone():
    critic = NETWORKS["critic"].module
    for regularizer in (Parseval(), Spectral()):
        together = network_of(critic, "value")
        begun(regularizer, together) if isinstance(regularizer, Spectral) else None
        whole: Any = regularizer.penalty(together)
        parts = []
        for member in range(2):
            single = Critic(7, 3, 16, 2, 1)
            with torch.no_grad():
                for parameter, both in zip(single.parameters(), critic.parameters(), strict=True):
                    parameter.copy_(both[member : member + 1])
            alone = network_of(single, "value")
            begun(regularizer, alone) if isinstance(regularizer, Spectral) else None
            parts.append(regularizer.penalty(alone))
        assert whole.item() == pytest.approx(sum(float(part.detach()) for part in parts if part is not None), rel=1e-5)


def test_the_layers_left_out_are_the_heads_last():
    names = {kind: [found.name for found in hidden_matrices(network)] for kind, network in NETWORKS.items()}
    assert names["vectors"] == ["encoder.0.weight", "head.0.weight"]
    assert names["atari"] == ["encoder.0.weight", "encoder.2.weight", "encoder.4.weight", "head.0.weight"]
    assert names["actor"] == [f"encoder.{name}.weight" for name in ("embed", "blocks.0.expand", "blocks.0.contract")]
    assert "value.weight" not in names["critic"]
    assert len(names["critic"]) == 5


@pytest.mark.parametrize("fused", [True, False])
def test_weight_decay_equals_adamw_except_for_the_order(fused):
    """Bit by bit Adam with weights shrunk after each step. AdamW shrinks first, which differs by rate^2 x strength."""
    inputs, wanted = numbers((32, 6), 7).double(), numbers((32, 3), 8).double()
    rate, strength, steps = 1e-4, 1e-2, 100
    results = {}
    for kind in ("ours", "by hand", "AdamW", "Adam"):
        module = mlp(6, 16, 3).double()
        fill(module)
        options: dict[str, Any] = {"lr": rate, "fused": fused}
        optimizer: Any = torch.optim.Adam(module.parameters(), **options)
        if kind == "AdamW":
            optimizer = torch.optim.AdamW(module.parameters(), weight_decay=strength, **options)
        network = MethodNetwork("n", module, {}, optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            (module(inputs) - wanted).square().mean().backward()
            optimizer.step()
            if kind == "ours":
                WeightDecay(strength=strength).after_step(network)
            if kind == "by hand":
                with torch.no_grad():
                    for parameter in module.parameters():
                        parameter.mul_(1 - rate * strength)
        results[kind] = nn.utils.parameters_to_vector(module.parameters()).detach()
    assert torch.equal(results["ours"], results["by hand"])
    error = (results["ours"] - results["AdamW"]).abs().max()
    assert error < 2 * steps * rate * rate * strength
    assert error < 1e-3 * (results["AdamW"] - results["Adam"]).abs().max()
