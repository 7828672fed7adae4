"""Schedules say when, the manager acts and keeps the record."""

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fire_rl import fire
from fire_rl.fire import (
    At,
    AtUpdates,
    Event,
    Every,
    Fire,
    Method,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    Probed,
    Reset,
)
from fire_rl.fire.probe import Data


def make_network(name: str = "critic") -> Any:
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    return Network(name, module, {key: value.clone() for key, value in module.state_dict().items()})


@given(st.integers(1, 50), st.integers(0, 60), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_every_happens_at_its_exact_updates_whatever_the_blocks(period, since, blocks):
    manager = PlasticityManager([], NoMethod(), Every(period, since))
    position, events = Position(0, 0), []
    for block in blocks:
        left = block
        while left:
            until = manager.updates_until_event(position)
            count = min(left, until)
            after = Position(position.updates + count, position.progress)
            if manager.due(position, after):
                events.append(after.updates)
            position, left = after, left - count
    assert events == list(range(since + period, sum(blocks) + 1, period))


def test_points_of_progress_cut_blocks_where_progress_is_updates():
    position = Position(40, 30)  # ten updates were made before progress began to be counted
    assert AtUpdates((20, 35, 50)).next_update(position) == 45
    assert AtUpdates((20, 30)).next_update(position) is None
    assert At((20, 35, 50)).next_update(position) is None
    assert AtUpdates((35,)).crossed(position, Position(45, 35))


def test_at_happens_once_when_its_point_is_reached():
    schedule = At((500, 1000))
    steps = [Position(0, step) for step in range(0, 1201, 16)]
    crossed = [after.progress for before, after in itertools.pairwise(steps) if schedule.crossed(before, after)]
    assert crossed == [512, 1008]
    assert schedule.crossed(Position(0, 498), Position(0, 500))
    assert not schedule.crossed(Position(0, 500), Position(0, 502))
    assert schedule.next_update(Position(3, 0)) is None


def test_never_never_happens():
    assert not Never().crossed(Position(0, 0), Position(10**9, 10**9))
    assert PlasticityManager([], Fire(), Never()).updates_until_event(Position(5, 5)) is None


@pytest.mark.parametrize("make", [lambda: Every(0), lambda: At(()), lambda: At((0, 5))])
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ValueError, match="allowed is"):
        make()


def test_an_event_records_what_was_done_to_each_network():
    networks = [make_network("actor"), make_network("critic")]
    before = {network.name: fire.deviation_from_isometry(network.module) for network in networks}
    manager = PlasticityManager(networks, Fire(solver="exact"), Every(100), unit="environment steps")
    event = manager.act(Position(100, 50))
    assert list(manager.events) == [event]
    assert (event.position, event.method) == (Position(100, 50), "fire:solver=exact")
    assert [report.name for report in event.networks] == ["actor", "critic"]
    assert event.seconds == pytest.approx(sum(report.seconds for report in event.networks))
    for report in event.networks:
        assert [row.name for row in report.matrices] == ["0.weight", "2.weight"]
        for row in report.matrices:
            assert row.deviation_before == pytest.approx(before[report.name][row.name], rel=1e-5)
            assert row.deviation_after < 1e-6
            assert row.squared_frobenius_error > 0
            earlier, later = report.singular_values[row.name]
            assert earlier.shape == later.shape == (1, min(row.d_out, row.d_in))
            torch.testing.assert_close(later, torch.ones_like(later))
    assert "critic" in str(event)
    assert "fire:solver=exact after 100 updates, 50 environment steps" in str(event)


def test_an_event_claims_no_unit_that_its_manager_was_not_told():
    event = PlasticityManager([make_network()], Reset(), Every(1)).act(Position(1000, 2000))
    assert str(event).startswith("reset after 1,000 updates, progress 2,000 (")


def test_a_position_is_stored_as_it_always_was():
    """Progress is stored under the name of its first unit, and read back from there."""
    assert list(Position(3, 4).to_json().items()) == [("updates", 3), ("environment_steps", 4)]
    assert Position.from_json({"updates": 3, "environment_steps": 4}) == Position(updates=3, progress=4)
    with pytest.raises(ValueError, match="'environment_steps'"):
        Position.from_json({"updates": 3, "progress": 4})


def test_an_event_without_a_method_measures_and_changes_nothing():
    network = make_network()
    event = PlasticityManager([network], NoMethod(), Every(1)).act(Position(1, 1))
    assert all(row.squared_frobenius_error == 0.0 for row in event.networks[0].matrices)
    assert all(row.deviation_after == row.deviation_before > 0 for row in event.networks[0].matrices)


def test_events_survive_strict_json():
    event = PlasticityManager([make_network()], Reset(), Every(10)).act(Position(10, 5))
    loaded = Event.from_json(json.loads(json.dumps(event.to_json(), allow_nan=False)))
    assert loaded.to_json() == event.to_json()
    assert str(loaded) == str(event)


@dataclass(frozen=True, kw_only=True)
class Telling(Method):
    """A method with a long spelling that returns a truth value."""

    names: str = ""

    def act(self, network):
        network.module[0].weight.mul_(2.0)
        return {"done": True}


def test_events_of_methods_with_truth_values_and_many_names_are_read_back():
    event = PlasticityManager([make_network()], Telling(names="|".join(["encoder"] * 200)), Never()).act(Position(1, 1))
    assert len(event.method) > 1_000
    loaded = Event.from_json(json.loads(json.dumps(event.to_json())))
    assert loaded.method == event.method
    assert loaded.networks[0].outcome == {"done": 1.0}


def test_a_diverged_network_can_be_reset_and_its_record_stored():
    network = make_network()
    with torch.no_grad():
        network.module[0].weight.fill_(math.nan)
    event = PlasticityManager([network], Reset(), Every(10)).act(Position(10, 5))
    row = event.networks[0].matrices[0]
    assert math.isnan(row.deviation_before)
    assert math.isfinite(row.deviation_after)
    again = Event.from_json(json.loads(json.dumps(event.to_json(), allow_nan=False)))
    assert math.isnan(again.networks[0].matrices[0].deviation_before)
    assert str(again) == str(event)


def test_the_manager_refuses_what_could_not_act_before_a_run_starts():
    with pytest.raises(ValueError, match="two networks have the same name: critic, critic"):
        PlasticityManager([make_network(), make_network()], Fire(), Never())
    with pytest.raises(ValueError, match="scope=encoder"):
        PlasticityManager([make_network()], Fire(scope="encoder"), Never())


@dataclass(frozen=True, kw_only=True)
class Decay(Method):
    """A method that acts on every step and through the loss."""

    acts_every_step = True
    has_penalty = True
    strength: float = 0.5

    def after_step(self, network):
        with torch.no_grad():
            for parameter in network.module.parameters():
                parameter.mul_(1 - self.strength)

    def penalty(self, network):
        return self.strength * sum(parameter.square().sum() for parameter in network.module.parameters())


def test_methods_may_act_on_every_step_and_through_the_loss():
    network = make_network()
    manager = PlasticityManager([network], Decay(), Never())
    before = network.module[0].weight.detach().clone()
    penalty: Any = manager.penalty("critic")
    penalty.backward()
    assert torch.equal(network.module[0].weight.grad, before)
    manager.after_step("critic")
    assert torch.equal(network.module[0].weight, 0.5 * before)


def test_other_methods_cost_nothing_between_events():
    manager = PlasticityManager([make_network()], Fire(), Never())
    assert not manager.acts_every_step
    assert not manager.has_penalty
    assert manager.penalty("critic") is None
    manager.after_step("critic")


@dataclass(frozen=True, kw_only=True)
class Grow(Method):
    """A method that changes the network's structure."""

    def restructure(self, network):
        network.module.append(nn.Linear(1, 1))


def test_structure_is_changed_again_before_a_checkpoints_tensors_are_loaded():
    network = make_network()
    manager = PlasticityManager([network], Grow(), Every(1))
    manager.act(Position(1, 1))
    manager.act(Position(2, 2))
    resumed = make_network()
    PlasticityManager([resumed], Grow(), Every(1)).load_state_dict(manager.state_dict())
    resumed.module.load_state_dict(network.module.state_dict())
    with pytest.raises(ValueError, match="neither built in nor this run's own"):
        PlasticityManager([make_network()], Fire(), Never()).load_state_dict(manager.state_dict())


def test_where_one_network_is_not_ready_none_is_touched():
    healthy, diverged = make_network("actor"), make_network("critic")
    with torch.no_grad():
        diverged.module[0].weight.fill_(math.nan)
    before = healthy.module[0].weight.clone()
    manager = PlasticityManager([healthy, diverged], Fire(solver="exact"), Every(10))
    with pytest.raises(ValueError, match=r"network 'critic': '0.weight' holds NaN .* nothing was changed"):
        manager.act(Position(10, 5))
    assert torch.equal(healthy.module[0].weight, before)


@dataclass(frozen=True, kw_only=True)
class Failing(Method):
    """A method that watches units, and fails at events once the network's weights are zero."""

    acts_every_step = True
    watches_units = True

    def after_step(self, network):
        pass

    def act(self, network):
        if not network.module[0].weight.any():
            raise RuntimeError("failed")
        network.module[0].weight.mul_(2.0)


def test_hooks_stay_after_a_failed_event_and_a_refused_state():
    network = make_network()
    manager = PlasticityManager([network], Failing(), Never())
    torch.nn.init.zeros_(network.module[0].weight)
    with pytest.raises(RuntimeError, match="failed"):
        manager.act(Position(1, 1))
    assert len(network.module[1]._forward_hooks) == 1
    change = {"method": "fire", "network": "critic"}
    with pytest.raises(ValueError, match="this method cannot"):
        manager.load_state_dict({"event_count": 1, "latest": {}, "structure": [change]})
    assert len(network.module[1]._forward_hooks) == 1
    missing = Probed(Data.of([torch.zeros(4, 6)] * 8), None)
    with pytest.raises(TypeError):
        manager.measure({}, probes={"critic": missing})
    assert len(network.module[1]._forward_hooks) == 1
