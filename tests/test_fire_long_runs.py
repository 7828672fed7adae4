"""A run of many events: its record stays small, and the saved part is what the next event needs."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from torch import nn

from fire_rl.fire import (
    Every,
    Fire,
    Injection,
    Method,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    Reset,
    parse_trigger,
)
from fire_rl.fire.record import KEPT
from tests.fixtures.small_q_network import act, make_network


def make_manager(method: Method, *triggers: str) -> PlasticityManager:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    network = Network("critic", module, {key: value.clone() for key, value in module.state_dict().items()})
    return PlasticityManager([network], method, Every(10), triggers=[parse_trigger(text, 50) for text in triggers])


def record(manager: PlasticityManager, count: int) -> None:
    """Act once, and then record as many events as wanted that differ only in their position."""
    event = manager.act(Position(10, 20))
    for number in range(2, count + 1):
        manager.events.append(replace(event, position=Position(10 * number, 20 * number)))


def saved(manager: PlasticityManager) -> Any:
    return json.loads(json.dumps(manager.state_dict(), allow_nan=False))


def as_earlier_versions_saved(manager: PlasticityManager) -> Any:
    return json.loads(json.dumps({"events": [event.to_json() for event in manager.events]}))


def structure(manager: PlasticityManager) -> list[str]:
    return [key for network in manager.networks.values() for key in network.module.state_dict()]


def test_the_newest_events_are_kept_and_all_are_counted():
    manager = make_manager(Reset())
    record(manager, KEPT + 5)
    assert len(manager.events) == KEPT
    assert manager.event_count == KEPT + 5
    assert [event.position.updates for event in manager.events][:2] == [60, 70]
    assert manager.events[-1].position == manager.latest("reset") == Position(10 * KEPT + 50, 20 * KEPT + 100)
    assert manager.latest("fire") is None


def test_only_the_newest_event_has_its_singular_values():
    manager = make_manager(Reset())
    first, second = manager.act(Position(1, 1)), manager.act(Position(2, 2))
    assert manager.events[-1] is second
    assert not manager.events[0].networks[0].singular_values
    assert list(manager.events) == [first, second]
    assert first.networks[0].singular_values, "whoever has the event keeps it whole"


def test_the_saved_state_does_not_grow_with_the_events():
    few, many = make_manager(Reset()), make_manager(Reset())
    record(few, 2)
    record(many, 3 * KEPT)
    assert len(json.dumps(saved(many))) < len(json.dumps(saved(few))) + 20
    assert saved(many)["event_count"] == 3 * KEPT


@pytest.mark.parametrize("save", [saved, as_earlier_versions_saved])
def test_a_trigger_waits_from_the_last_event_of_any_method_after_loading(save):
    manager = make_manager(Reset(), "dormant>0.5")
    record(manager, 10)
    loaded = make_manager(Fire(), "dormant>0.5")
    loaded.load_state_dict(save(manager))
    assert loaded.event_count == 10
    assert loaded.latest("reset") == Position(100, 200)
    for one in (manager, loaded):
        measures = {"critic/dormant": 0.9}
        met = [bool(one.triggered(measures, Position(updates, 0))) for updates in (100, 149, 150)]
        assert met == [False, False, True]


def test_one_event_is_enough_at_a_position_also_after_loading():
    manager = make_manager(Reset())
    manager.act(Position(0, 20))
    loaded = PlasticityManager(list(make_manager(Reset()).networks.values()), Reset(), Never())
    loaded.triggers = (parse_trigger("dormant>0.5", 0),)
    assert loaded.triggered({"critic/dormant": 0.9}, Position(0, 20))
    loaded.load_state_dict(saved(manager))
    assert not loaded.triggered({"critic/dormant": 0.9}, Position(0, 20))


@dataclass(frozen=True, kw_only=True)
class Grow(Method):
    """Adds a layer, up to a limit."""

    layers: int = 5

    def restructure(self, network):
        if len(network.module) < self.layers:
            network.module.append(nn.Linear(1, 1))


@dataclass(frozen=True, kw_only=True)
class Soften(Method):
    """Exchanges a module that has no tensors."""

    def restructure(self, network):
        network.module[1] = nn.Tanh()


def test_only_real_changes_of_structure_are_saved():
    manager = make_manager(Grow())
    for number in range(6):
        manager.act(Position(number, number))
    assert saved(manager)["structure"] == 2 * [{"method": "test_fire_long_runs:Grow", "network": "critic"}]
    loaded = make_manager(Grow())
    loaded.load_state_dict(saved(manager))
    assert structure(loaded) == structure(manager)
    assert saved(loaded) == saved(manager)


def test_a_changed_module_without_tensors_is_a_change_of_structure():
    manager, loaded = make_manager(Soften()), make_manager(Soften())
    manager.act(Position(1, 1))
    manager.act(Position(2, 2))
    assert len(saved(manager)["structure"]) == 1
    loaded.load_state_dict(saved(manager))
    assert isinstance(loaded.networks["critic"].module.get_submodule("1"), nn.Tanh)


def test_a_state_of_an_earlier_version_gives_the_same_structure_and_becomes_small():
    network = make_network()
    manager = act(network, Fire(), Injection(), Reset(), Injection())
    earlier, loaded = as_earlier_versions_saved(manager), []
    for state in (earlier, saved(manager)):
        loaded.append(PlasticityManager([make_network()], NoMethod(), Never()))
        loaded[-1].load_state_dict(state)
    assert structure(loaded[0]) == structure(loaded[1]) == list(network.module.state_dict())
    assert saved(loaded[0]) == saved(loaded[1]) == saved(manager)
    assert len(loaded[0].events) == 4
