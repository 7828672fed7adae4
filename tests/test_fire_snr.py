"""Self-normalized resets: the public code's figures, and units silent for longer than usual for them are reset."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import MethodNetwork, SelfNormalizedResets, hidden_layers
from fire_rl.fire.methods import self_normalized_resets, unit_resets
from tests.fixtures.make_cbp import values
from tests.fixtures.stepwise import (
    KINDS,
    ask_no_number_of_the_host,
    assert_resumes,
    begun,
    make_network,
    mlp,
    numbers,
    tensors,
    train,
)

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "snr_reference.json").read_text())


@pytest.mark.parametrize("as_recorded", [False, True])
def test_four_hundred_steps_are_those_of_the_public_code(as_recorded, monkeypatch):
    """Compare with ajozefiak/SelfNormalizedResets at 8b84f0c, src/algorithms/snr.py, in JAX with float64.

    The functions are increment_neuron_ages_snr, reset_neurons_snr_adam and update_tau_. They measure time in examples,
    100
    to a batch. Percentile 0.9, first threshold 1000, tau_max 2000, updated every 50 steps; Adam with 0.02. Data, first
    weights and random draws (one for all units of a layer at a step) come from `values`. A slope in the loss drives
    biases
    down, so that units become silent. `python -m tests.fixtures.make_snr CLONE` records the figures again.
    """
    sizes = (6, 16, 12)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    with torch.no_grad():
        for place, (spread, down) in enumerate(((0.5, 1.5), (0.5, 0.5), (0.1, 0.0))):
            weight, bias = (module.get_parameter(f"{2 * place}.{kind}") for kind in ("weight", "bias"))
            weight.copy_(values(tuple(weight.shape), 100 + place) * math.sqrt(6 / sizes[place]))
            bias.copy_(values(tuple(bias.shape), 200 + place) * spread - down)

    def draw(initial: Tensor, shape: tuple[int, ...], generator: Any) -> Tensor:
        width = shape[-1]
        return (values((width,), step * 10 + sizes.index(width)) * math.sqrt(6 / width)).expand(shape)

    replaced: list[Any] = []
    renew = unit_resets.replace_units_

    def record(network: Any, layer: Any, units: Any, chosen: Tensor | None) -> None:
        assert (chosen is not None) == as_recorded
        which = units[0] if chosen is None else chosen.nonzero()[:, 0]
        if len(which):
            replaced.append([step, {"1": 0, "3": 1}[layer.name], which.tolist()])
        renew(network, layer, units, chosen=chosen)

    if as_recorded:
        ask_no_number_of_the_host(monkeypatch)

    monkeypatch.setattr(unit_resets, "new_draw", draw)
    monkeypatch.setattr(self_normalized_resets, "replace_units_", record)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    method = SelfNormalizedResets(rejection=0.1, longest=20, period=50, apply_every=1)
    network = begun(method, make_network(module, optimizer))
    teacher = values((6, 3), 300)
    losses, limits = [], []
    for step in range(1, 401):
        inputs = values((100, 6), step * 10)
        error = (module(inputs) - torch.tanh(inputs @ teacher)).square().mean()
        loss = error + 0.3 * (module.get_parameter("0.bias").sum() + module.get_parameter("2.bias").sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(network)
        losses.append(loss.item())
        if step % 50 == 0:
            limits.append([(100 * network.memory[f"{name}.limit"]).tolist() for name in ("1", "3")])

    assert replaced == REFERENCE["replaced"]
    assert limits == REFERENCE["limits"]
    assert [(100 * network.memory[f"{name}.silent"]).tolist() for name in ("1", "3")] == REFERENCE["silent"]
    assert network.memory["replaced"] == sum(len(units) for _, _, units in replaced) == 72
    torch.testing.assert_close(numbers(losses[::10]), numbers(REFERENCE["loss"]), rtol=1e-9, atol=1e-12)
    for name, parameter in module.named_parameters():
        for kind, value in (
            ("parameters", parameter.detach()),
            ("second moments", optimizer.state[parameter]["exp_avg_sq"]),
        ):
            torch.testing.assert_close(value.flatten(), numbers(REFERENCE[kind][name]), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_dead_units_are_reset_the_others_are_untouched_and_no_output_changes(kind):
    make, shape = KINDS[kind]
    module = make()
    dead = {}
    with torch.no_grad():
        for layer in hidden_layers(module):
            dead[layer.name] = torch.zeros(layer.shape, dtype=torch.bool)
            dead[layer.name][..., 1::3] = True
            if len(layer.shape) > 1:
                dead[layer.name][1] = dead[layer.name][1].roll(1)
            bias = layer.incoming[1]
            bias.by_unit(module.get_parameter(bias.name)).add_(1.0).masked_fill_(dead[layer.name], -100.0)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    method = SelfNormalizedResets(longest=12, apply_every=2)
    network = begun(method, make_network(module, optimizer))
    for _ in range(5):
        train(network, torch.randn(shape))
        before = tensors(network)
        method.after_step(network)
        assert all(map(equal, tensors(network).values(), before.values())), "the limit is half of twelve"
    inputs = torch.randn(shape)
    train(network, inputs)
    before, wanted = tensors(network), module(inputs)
    method.after_step(network)

    torch.testing.assert_close(module(inputs), wanted)
    assert method.figures(network) == {"replaced units": sum(int(units.sum()) for units in dead.values())}
    written = {name: torch.zeros_like(parameter, dtype=torch.bool) for name, parameter in module.named_parameters()}
    for layer in hidden_layers(module):
        weight, bias = layer.incoming
        drawn = weight.by_unit(module.get_parameter(weight.name))[dead[layer.name]]
        assert torch.isin(drawn, network.initial[weight.name]).all()
        assert not bias.by_unit(module.get_parameter(bias.name))[dead[layer.name]].any()
        for weights in (*layer.incoming, *layer.outgoing):
            weights.by_unit(written[weights.name])[dead[layer.name]] = True
    for name, (now, *moments) in tensors(network).items():
        assert torch.equal(now[~written[name]], before[name][0][~written[name]])
        assert not any(moment[written[name]].any() for moment in moments)


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


@pytest.mark.parametrize(("rejection", "limit"), [(0.3, 2), (0.15, 3), (0.05, 7)])
def test_a_units_limit_is_the_percentile_of_its_own_silences(rejection: float, limit: int):
    """Seven silences of 2 steps, two of 3 and one of 7. Between them, one example of three makes the unit active."""
    silences = [2, 2, 7, 2, 3, 2, 2, 3, 2, 2]
    steps = sum(silences) + len(silences) + 1
    method = SelfNormalizedResets(rejection=rejection, longest=40, period=steps, apply_every=1)
    network = begun(method, make_network(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))
    fires = [True] + [step == silence for silence in silences for step in range(silence + 1)]
    for fired in fires:
        look(method, network, [fired, True])
    assert network.memory["1.limit"].tolist() == [limit, 1], "and the smallest limit for one that was never silent"
    assert method.figures(network) == {"replaced units": 0}
    for silent in range(1, limit + 1):
        look(method, network, [False, True])
        assert method.figures(network) == {"replaced units": int(silent == limit)}


def test_units_that_are_due_wait_until_the_next_check():
    """Checks are five steps apart. A unit that becomes active again while it waits is reset all the same."""
    method = SelfNormalizedResets(longest=4, apply_every=5)
    network = begun(method, make_network(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))
    weight = network.module.get_parameter("2.weight")
    for step, fired in enumerate((False, False, False, True), start=1):
        look(method, network, [fired, True])
        assert network.memory["1.due"].tolist() == [step >= 2, False]
        assert weight.all()
    look(method, network, [True, True])
    assert weight.bool().tolist() == [[False, True]]
    assert not network.memory["1.due"].any()


def test_a_limit_doubles_where_its_percentile_lies_beyond_it():
    method = SelfNormalizedResets(longest=10, period=12, apply_every=1)
    network = begun(method, make_network(nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1))))
    limits = []
    for _ in range(4):
        for _ in range(12):
            look(method, network, [False])
        limits.append(int(network.memory["1.limit"]))
    assert limits == [10, 10, 10, 10]
    assert method.figures(network) == {"replaced units": 2 + 1 + 1 + 1}, "after 5, 10, 20, 30 and 40 steps"


def look(method: SelfNormalizedResets, network: MethodNetwork, fires: list[bool]) -> None:
    """Take a step at which one of three examples, or none, makes units active."""
    activations = torch.zeros(len(fires), 3)
    activations[:, 1] = torch.tensor(fires)
    method.after_step(replace(network, activations={"1": activations}))


def test_a_run_restored_in_the_middle_continues_bit_by_bit():
    assert_resumes(SelfNormalizedResets(rejection=0.2, longest=4, period=15, apply_every=3))


def test_networks_that_it_cannot_work_on_are_refused():
    with pytest.raises(ValueError, match="snr: network 'net' has no hidden units whose weights are known"):
        SelfNormalizedResets().check(make_network(nn.Sequential(nn.Linear(3, 2))))
    module = mlp()
    with pytest.raises(ValueError, match="optimizer NAdam cannot be renewed in place; known are"):
        SelfNormalizedResets().check(make_network(module, torch.optim.NAdam(module.parameters())))
