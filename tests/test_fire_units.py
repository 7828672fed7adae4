"""Hidden units of sequences: `hidden_layers` returns views of exactly the weights of each unit."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Watch, hidden_layers, new_draw
from tests.fixtures.units import activations, check, names


def sequence(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(*layers)
    for layer in module.modules():
        if hasattr(layer, "reset_parameters") and "Norm" not in type(layer).__name__:
            for parameter in layer.parameters():
                nn.init.normal_(parameter)
    return module


CHAINS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...], list[str]]] = {
    "linear": (
        lambda: sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4), nn.Tanh(), nn.Linear(4, 2)),
        (3, 5),
        ["1", "3"],
    ),
    "without biases": (
        lambda: sequence(nn.Linear(5, 7, bias=False), nn.Softplus(), nn.Linear(7, 4, bias=False)),
        (3, 5),
        ["1"],
    ),
    "tokens": (lambda: sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)), (3, 6, 5), ["1"]),
    "tokens, flattened": (
        lambda: sequence(nn.Linear(5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
        (2, 6, 5),
        ["1"],
    ),
    "convolutions, flattened": (
        lambda: sequence(
            nn.Conv2d(2, 5, 3),
            nn.ReLU(),
            nn.Conv2d(5, 6, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 9, 8),
            nn.ReLU(),
            nn.Linear(8, 2),
        ),
        (3, 2, 6, 6),
        ["1", "3", "6"],
    ),
    "one position left": (
        lambda: sequence(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)),
        (3, 2, 6, 6),
        ["1"],
    ),
    "one dimension": (
        lambda: sequence(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(5, 3, 1)),
        (3, 2, 8),
        ["1"],
    ),
    "transposed": (
        lambda: sequence(
            nn.ConvTranspose2d(2, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 4, 2), nn.ReLU(), nn.Conv2d(4, 3, 2)
        ),
        (3, 2, 4, 4),
        ["1", "3"],
    ),
    "to transposed": (
        lambda: sequence(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 4, 2)),
        (3, 2, 5, 5),
        ["1"],
    ),
    "dropout and batch norm": (
        lambda: sequence(
            nn.Linear(5, 7),
            nn.BatchNorm1d(7),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(7, 4),
            nn.ReLU(),
            nn.Identity(),
            nn.Linear(4, 2),
        ).eval(),
        (3, 5),
        ["2", "5"],
    ),
    "nested": (
        lambda: sequence(nn.Sequential(nn.Linear(5, 7), nn.ReLU()), nn.Sequential(nn.Sequential(nn.Linear(7, 2)))),
        (3, 5),
        ["0.1"],
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_each_unit_has_its_own_weights(case: str):
    make, shape, layers = CHAINS[case]
    module, inputs = make(), torch.randn(shape)
    assert list(names(module)) == layers
    check(module, lambda: module(inputs))


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(7), nn.RMSNorm(7), nn.BatchNorm1d(7)], ids=lambda norm: type(norm).__name__
)
@pytest.mark.parametrize("place", [1, 2])
def test_norms_may_stand_between_weights(norm: nn.Module, place: int):
    layers: list[nn.Module] = [nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)]
    layers.insert(place, norm)
    module, inputs = sequence(*layers), torch.randn(9, 5)
    (found,) = names(module).values()
    assert found == (["0.weight", "0.bias"], ["3.weight"])
    check(module, lambda: module(inputs), mixes=True)


def test_names_of_a_bias_that_readers_add():
    module = sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    assert [weights.bias for layer in hidden_layers(module) for weights in layer.outgoing] == ["2.bias", None]


class Skip(nn.Sequential):
    """A sequence with its own forward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = inputs + super().forward(inputs)
        return output


relu = nn.ReLU()
shared = nn.Linear(4, 4)
LEFT_OUT: dict[str, tuple[nn.Module, list[str]]] = {
    "grouped": (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1)), []),
    "read by groups": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1, groups=2)), []),
    "an activation in two places": (nn.Sequential(nn.Linear(4, 3), relu, nn.Linear(3, 5), relu, nn.Linear(5, 1)), []),
    "and at the end": (nn.Sequential(nn.Linear(4, 3), relu, nn.Linear(3, 5), relu), []),
    "only where it stands twice": (
        nn.Sequential(nn.Linear(4, 3), relu, nn.Linear(3, 5), relu, nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1)),
        ["5"],
    ),
    "a weight in two places": (nn.Sequential(shared, nn.ReLU(), shared, nn.Tanh(), nn.Linear(4, 1)), []),
    "the width of an image": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Linear(4, 2)), []),
    "pooled units": (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(8, 2)), []),
    "flattened before the activation": (
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.ReLU(), nn.Linear(4, 2)),
        [],
    ),
    "flattened otherwise": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(2), nn.Linear(4, 2)), []),
    "a module that is not known": (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Softmax(-1), nn.Linear(3, 1)), []),
    "two activations": (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 1)), []),
    "no activation": (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), []),
    "weights made at each pass": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 1)),
        [],
    ),
    "readers' weights made at each pass": (
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.utils.parametrizations.spectral_norm(nn.Linear(3, 1))),
        [],
    ),
    "frozen weights": (nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.ReLU(), nn.Linear(3, 1)), []),
    "behind frozen weights": (
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1).requires_grad_(False)),
        ["1"],
    ),
    "a sequence with a way of its own": (
        nn.Sequential(Skip(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 1)),
        [],
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_units_that_cannot_be_separated_are_left_out(case: str):
    module, layers = LEFT_OUT[case]
    assert list(names(module)) == layers


@pytest.mark.parametrize("make", [nn.Conv2d, nn.ConvTranspose2d])
def test_activations_by_unit_equal_those_of_a_forward_pass_by_hand(make: Any):
    convolution = make(2, 5, 3)
    module = sequence(convolution, nn.ReLU(), nn.Conv2d(5, 3, 1))
    images = torch.randn(4, 2, 6, 6)
    (layer,) = hidden_layers(module)
    by_hand = torch.stack([convolution(images)[:, unit].clamp(min=0).flatten() for unit in range(5)])
    torch.testing.assert_close(activations(module, layer, lambda: module(images)), by_hand.detach())


def test_watching_ends_and_its_activations_are_forgotten():
    module = sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))
    (layer,) = hidden_layers(module)
    watch = Watch(module, [layer])
    assert dict(watch) == {}
    module(torch.randn(3, 5))
    assert watch["1"].shape == (7, 3)
    assert not watch["1"].requires_grad
    watch.close()
    assert dict(watch) == {}
    module(torch.randn(3, 5))
    assert dict(watch) == {}
    assert not module[1]._forward_hooks


def test_a_pass_without_gradients_does_not_replace_one_that_trains():
    module = sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))
    acted, trained = torch.randn(1, 5), torch.randn(3, 5)
    with Watch(module, hidden_layers(module)) as watch:
        with torch.no_grad():
            module(acted)
        assert watch["1"].shape == (7, 1)  # no other pass yet
        module(trained)
        with torch.no_grad():
            module(acted)
        torch.testing.assert_close(watch["1"], module[:2](trained).detach().T)


def test_a_new_draw_repeats_and_stays_within_the_initial_values():
    initial = torch.linspace(-1, 1, 60).reshape(6, 10)
    first, again, other = (new_draw(initial, (40, 30), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == (40, 30)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert set(first.flatten().tolist()) == set(initial.flatten().tolist())
    assert abs(first.mean()) < 4 * 0.6 / math.sqrt(1200)
    assert abs(first.std() - initial.std()) < 0.03
