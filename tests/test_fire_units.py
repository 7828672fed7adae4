"""Hidden units: the views that `fire.hidden_layers` gives are of the weights that it says they are."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Actor, Critic
from fire_rl.fire import HiddenLayer, Injection, Network, Watch, hidden_layers, new_draw

Run = Callable[[], Any]


def outputs(run: Run) -> Tensor:
    with torch.no_grad():
        found = run()
    return torch.cat([part.flatten() for part in found]) if isinstance(found, tuple) else found.flatten().clone()


def view(module: nn.Module, layer: HiddenLayer, which: str) -> list[Tensor]:
    weights = getattr(layer, which)
    return [each.by_unit(module.get_parameter(each.name).detach()) for each in weights]


def activations(module: nn.Module, layer: HiddenLayer, run: Run) -> Tensor:
    with Watch(module, [layer]) as watch, torch.no_grad():
        run()
        return watch[layer.name].clone()


@torch.no_grad()
def check(module: nn.Module, run: Run, mixes: bool = False) -> None:
    """Every third unit: its incoming weights change what it does, and only that; its outgoing carry all of it.

    Only that, unless a norm `mixes` units before the activation or behind it.
    """
    for layer in hidden_layers(module):
        for unit in list(torch.cartesian_prod(*map(torch.arange, layer.shape)).reshape(-1, len(layer.shape)))[::3]:
            place = tuple(unit.tolist())
            state = {key: value.clone() for key, value in module.state_dict().items()}
            weight, *biases = view(module, layer, "incoming")
            weight[place] *= 0.01 if biases else 1.0
            for bias in biases:
                bias[place] = 1.0  # a ReLU lets it through
            before, output = activations(module, layer, run), outputs(run)
            assert before.shape[:-1] == layer.shape
            for incoming in view(module, layer, "incoming"):
                incoming[place] *= 1.5
            changed = (activations(module, layer, run) != before).any(-1)
            assert changed[place], (layer.name, place)
            assert not torch.equal(outputs(run), output), (layer.name, place)
            if not mixes:
                assert changed.sum() == 1, (layer.name, place)
                for outgoing in view(module, layer, "outgoing"):
                    outgoing[place] = 0.0
                output = outputs(run)
                for incoming in view(module, layer, "incoming"):
                    incoming[place] *= 0.3
                torch.testing.assert_close(outputs(run), output, rtol=0, atol=0)
                # No more than its own was zeroed.
                written = [each[place].numel() for each in view(module, layer, "outgoing")]
                zeroed = [int((module.get_parameter(each.name) == 0).sum()) for each in layer.outgoing]
                earlier = [int((state[each.name] == 0).sum()) for each in layer.outgoing]
                assert zeroed == [one + other for one, other in zip(earlier, written, strict=True)]
            module.load_state_dict(state)


def names(module: nn.Module) -> dict[str, tuple[list[str], list[str]]]:
    return {
        layer.name: ([each.name for each in layer.incoming], [each.name for each in layer.outgoing])
        for layer in hidden_layers(module)
    }


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
def test_a_unit_s_weights_are_its_own(case: str):
    make, shape, layers = CHAINS[case]
    module, inputs = make(), torch.randn(shape)
    assert list(names(module)) == layers
    check(module, lambda: module(inputs))


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(7), nn.RMSNorm(7), nn.BatchNorm1d(7)], ids=lambda norm: type(norm).__name__
)
@pytest.mark.parametrize("place", [1, 2])
def test_norms_stand_between_weights(norm: nn.Module, place: int):
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
    """A sequence with a way of its own."""

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
def test_what_cannot_be_told_apart_is_left_out(case: str):
    module, layers = LEFT_OUT[case]
    assert list(names(module)) == layers


@pytest.mark.parametrize("make", [nn.Conv2d, nn.ConvTranspose2d])
def test_activations_by_unit_are_those_of_a_forward_by_hand(make: Any):
    convolution = make(2, 5, 3)
    module = sequence(convolution, nn.ReLU(), nn.Conv2d(5, 3, 1))
    images = torch.randn(4, 2, 6, 6)
    (layer,) = hidden_layers(module)
    by_hand = torch.stack([convolution(images)[:, unit].clamp(min=0).flatten() for unit in range(5)])
    torch.testing.assert_close(activations(module, layer, lambda: module(images)), by_hand.detach())


def test_an_ensemble_s_members_have_units_of_their_own():
    torch.manual_seed(0)
    critic = Critic(3, 2, width=6, blocks=2, members=2)
    for parameter in critic.parameters():
        nn.init.normal_(parameter)
    observations, actions = torch.randn(5, 3), torch.randn(5, 2)
    layers = hidden_layers(critic)
    assert [layer.name for layer in layers] == [f"encoder.blocks.{index}.activation" for index in range(2)]
    assert [layer.shape for layer in layers] == [(2, 24), (2, 24)]
    check(critic, lambda: critic(observations, actions))

    block: Any = critic.encoder.blocks[0]
    embedded = critic.encoder.embed(torch.cat((observations, actions), -1))
    hidden = block.expand(block.norm(embedded)).clamp(min=0)
    seen = activations(critic, layers[0], lambda: critic(observations, actions))
    torch.testing.assert_close(seen, hidden.detach().transpose(1, 2))


def test_an_actor_s_units_have_one_dimension():
    actor = Actor(3, 2, width=6, blocks=1)
    for parameter in actor.parameters():
        nn.init.normal_(parameter, std=0.3)
    observations = torch.randn(5, 3)
    (layer,) = hidden_layers(actor)
    assert layer.shape == (24,)
    check(actor, lambda: actor(observations))


def q_network(kind: str) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    shape = (5,) if kind == "mlp" else (2, 5, 5)
    module, target = (make_network(kind, shape, 3, width=8) for _ in range(2))
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    target.load_state_dict(module.state_dict())
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    network = Network("q", module, initial, torch.optim.Adam(module.parameters()), target, (), ("encoder",), ("head",))
    return network, torch.randn(4, *shape)


@pytest.mark.parametrize("kind", ["minatar", "mlp"])
@pytest.mark.parametrize("injections", [0, 1, 2])
def test_a_q_network_s_units_before_and_after_injections(kind: str, injections: int):
    network, observations = q_network(kind)
    for count in range(injections):
        Injection().restructure(network)
        with torch.no_grad():
            for parameter in network.module.get_submodule("head.trained").parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(count))
    trained = "head.trained" if injections else "head"
    readers = {0: ["head"], 1: ["head.old", "head.frozen", trained]}
    readers[2] = ["head.old.old", "head.old.frozen", "head.old.trained", "head.frozen", trained]
    found = names(network.module)
    assert list(found) == ["encoder.1", f"{trained}.1"]
    assert sorted(found["encoder.1"][1]) == sorted(f"{reader}.0.weight" for reader in readers[injections])
    assert found[f"{trained}.1"] == ([f"{trained}.0.weight", f"{trained}.0.bias"], [f"{trained}.2.weight"])
    check(network.module, lambda: network.module(observations))


def test_views_are_of_what_has_the_parameter_s_shape_too():
    """Moments, targets and initial values are looked at and written through the same views."""
    network, _ = q_network("minatar")
    (layer, _) = hidden_layers(network.module)
    for weights in (*layer.incoming, *layer.outgoing):
        values = torch.zeros_like(network.module.get_parameter(weights.name))
        seen = weights.by_unit(values)
        assert seen.shape[0] == 16
        seen[3] = 1.0
        assert values.sum() == values.numel() / 16


def test_a_module_s_declaration_is_named_as_its_parent_knows_it():
    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_network("mlp", (4,), 2, width=6)

    assert names(Parent()) == {
        "inner.encoder.1": (["inner.encoder.0.weight", "inner.encoder.0.bias"], ["inner.head.0.weight"]),
        "inner.head.1": (["inner.head.0.weight", "inner.head.0.bias"], ["inner.head.2.weight"]),
    }


def test_watching_ends_and_forgets():
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


def test_a_pass_without_gradients_does_not_take_the_place_of_one_that_trains():
    module = sequence(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))
    acted, trained = torch.randn(1, 5), torch.randn(3, 5)
    with Watch(module, hidden_layers(module)) as watch:
        with torch.no_grad():
            module(acted)
        assert watch["1"].shape == (7, 1)  # there is no other yet
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
