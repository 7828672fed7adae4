"""Trainability as a measure of the manager: its values, what it leaves alone, and what is refused."""

import math

import pytest
import torch
from torch import nn

from fire_rl.fire import ContinualBackprop, Network, Never, PlasticityManager, Position, Probe, Probed, Reset, diagnose
from fire_rl.fire.probe import Data
from fire_rl.fire.trainability import trainability, updates_of
from fire_rl.fire.trigger import parse_trigger

QUICK = Probe(updates=40, rates=(3e-3,), seeds=3, points=5)


def fresh(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))


def probed() -> Probed:
    batches = torch.randn(12, 32, 4, generator=torch.Generator().manual_seed(5)).unbind()
    return Probed(Data.joined(batches), fresh)


def dormant(seed: int = 7) -> nn.Module:
    module = fresh(seed)
    with torch.no_grad():
        module[0].bias[:30].fill_(-100.0)  # type: ignore[index]
    return module


def network_of(module: nn.Module) -> Network:
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return Network("q", module, initial, torch.optim.Adam(module.parameters()), head=("2",))


def test_a_fresh_network_has_about_1_and_a_dormant_one_far_less():
    values = [trainability(fresh(100 + seed), probed(), QUICK) for seed in range(3)]
    assert 0.75 < sum(values) / 3 < 1.25
    assert trainability(dormant(), probed(), QUICK) < 0.5


def test_it_is_the_lower_reading_of_the_diagnosis():
    given, module = probed(), dormant()
    batches = [*given.data.batches, *given.data.held_out[0].split(32)]
    found = diagnose(module, batches, fresh=fresh, probe=QUICK)
    lower = min(found.readings[form].best.value for form in ("fit", "replace"))
    assert trainability(module, given, QUICK) == pytest.approx(lower, rel=1e-5)


def test_measuring_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fire_rl.fire.trainability.SHORT", QUICK)
    module = fresh(3)
    manager = PlasticityManager([network_of(module)], ContinualBackprop(), Never())
    before, random = {name: value.clone() for name, value in module.state_dict().items()}, torch.get_rng_state()
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    assert sum(hooks), "the method watches activations"
    found = manager.measure({}, probes={"q": probed()})
    assert math.isfinite(found["q/trainability"])
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(random, torch.get_rng_state())
    assert [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()] == hooks
    manager.close()
    manager.measure({}, probes={"q": probed()})
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()), "it stays closed"


def test_a_trigger_acts_on_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fire_rl.fire.trainability.SHORT", QUICK)
    trigger = parse_trigger("trainability<0.6", cooldown=0)
    for module, expected in ((dormant(), trigger), (fresh(3), None)):
        manager = PlasticityManager([network_of(module)], Reset(), Never(), triggers=(trigger,))
        assert manager.triggered(manager.measure({}, probes={}), Position(10, 10)) is None
        assert manager.triggered(manager.measure({}, probes={"q": probed()}), Position(20, 20)) == expected


def test_what_cannot_be_measured_is_not_a_number():
    diverged = fresh(0)
    with torch.no_grad():
        diverged[0].weight[0, 0] = math.nan  # type: ignore[index]
    assert math.isnan(trainability(diverged, probed(), QUICK))
    same = Probed(Data.joined(list(torch.ones(8, 16, 4))), fresh)
    assert math.isnan(trainability(fresh(1), same, QUICK)), "all inputs are equal"


def test_a_trigger_without_probes_or_for_a_layer_is_refused():
    manager = PlasticityManager([network_of(fresh(0))], Reset(), Never(), triggers=(parse_trigger("trainability<0.6"),))
    with pytest.raises(ValueError, match=r"trainability<0.6 needs measure\(..., probes=...\)"):
        manager.measure({})
    with pytest.raises(ValueError, match="is measured for whole networks, not for '0'"):
        parse_trigger("trainability/0<0.6").check({"q": network_of(fresh(0))})


def test_its_cost_in_updates():
    assert updates_of(1, QUICK) == 2 * 2 * 3 * 40  # fit and replace, the network and a fresh one, seeds, updates
    assert updates_of(2) == 2_400
