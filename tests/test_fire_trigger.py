"""Triggers: a measure that crosses a threshold makes an event due, and a cool-down follows it."""

import math

import pytest
import torch
from torch import nn

from fire_rl.fire import (
    Network,
    Never,
    PlasticityManager,
    Position,
    Redo,
    Reset,
    Trigger,
    declare_units,
    parse_trigger,
)
from fire_rl.fire.measures import measure
from fire_rl.fire.trigger import MEASURES


def manager_with(*triggers: Trigger) -> PlasticityManager:
    networks = []
    for name in ("actor", "critic"):
        module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        networks.append(Network(name, module, {key: value.clone() for key, value in module.state_dict().items()}))
    return PlasticityManager(networks, Reset(), Never(), triggers=triggers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dormant>0.25", Trigger("dormant", ">", 0.25)),
        ("critic.active<.5", Trigger("active", "<", 0.5, "critic")),
        (" q.dormant/encoder.1 > 1e-1", Trigger("dormant/encoder.1", ">", 0.1, "q")),
        ("sfe>-3", Trigger("sfe", ">", -3.0)),
    ],
)
def test_a_trigger_is_read_as_it_is_written(text: str, expected: Trigger):
    assert parse_trigger(text) == expected
    assert parse_trigger(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "dormant", "dormant=0.2", "dormant>much", "dormant>nan", ">0.2", "a.b.c>1", "a>>1"]
)
def test_what_cannot_be_read_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"allowed is \[NETWORK.\]MEASURE>NUMBER or <NUMBER, such as dormant>0.25"):
        parse_trigger(text)


def test_any_network_meets_a_trigger_that_names_none():
    values = {"actor/dormant": 0.3, "critic/dormant": 0.1, "critic/dormant/2": 0.9}
    assert Trigger("dormant", ">", 0.25, cooldown=0).met(values, 0)
    assert not Trigger("dormant", ">", 0.25, "critic", cooldown=0).met(values, 0)
    assert Trigger("dormant/2", ">", 0.25, cooldown=0).met(values, 0)
    assert Trigger("dormant", "<", 0.25, cooldown=0).met(values, 0)
    assert not Trigger("dormant", ">", 0.3, cooldown=0).met(values, 0)  # crossing is more than reaching
    assert not Trigger("active", "<", 0.25, cooldown=0).met(values, 0)
    assert not Trigger("dormant", "<", 2.0, cooldown=0).met({"critic/dormant": math.nan}, 0)


def test_the_cool_down_holds_from_the_start_and_from_any_event():
    manager = manager_with(Trigger("dormant", ">", 0.25, cooldown=100))
    values = {"critic/dormant": 0.5}
    assert manager.triggered(values, Position(99, 0)) is None
    assert manager.triggered(values, Position(100, 0)) == manager.triggers[0]
    manager.act(Position(150, 0))
    assert manager.triggered(values, Position(249, 0)) is None
    assert manager.triggered(values, Position(250, 0)) == manager.triggers[0]


def test_a_name_that_does_not_exist_is_refused_with_the_nearest_at_the_start():
    with pytest.raises(ValueError, match="network 'critik' is unknown; known are actor, critic; nearest is critic"):
        manager_with(parse_trigger("critik.dormant>0.1"))
    with pytest.raises(ValueError, match=r"measure 'dorment' is unknown; .* nearest is dormant"):
        manager_with(parse_trigger("dorment/encoder.1>0.1"))


def test_a_trigger_of_a_measure_that_is_never_taken_is_refused():
    module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))
    bare = Network("q", module, {key: value.clone() for key, value in module.state_dict().items()})
    for text, why in (
        (
            "q.dormant>0.1",
            "q.dormant>0.1 can never be met: network 'q' has no hidden units that are known; ",
        ),
        ("effective_rank<5", "effective_rank<5.0 can never be met: network 'q' names no head"),
        ("effective_learning_rate<5", "can never be met: network 'q' has no optimizer"),
    ):
        with pytest.raises(ValueError) as caught:
            parse_trigger(text).check({"q": bare})
        assert why in str(caught.value)
        named = manager_with().networks["critic"]
        parse_trigger("dormant>0.1").check({"q": bare, "critic": named})  # one network has them
    declare_units(module, torch.randn(2, 4))
    for refuse in (lambda: parse_trigger("dead>0").check({"q": bare}), lambda: Redo().check(bare)):
        with pytest.raises(ValueError, match=r"known; fire_rl\.declare_units found none either"):
            refuse()


def test_every_measure_that_is_listed_is_taken():
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    initial = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = torch.optim.Adam(module.parameters())
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    network = Network("q", module, initial, optimizer, head=("2",))
    found = measure(network, hessian=True, loss=lambda: module(inputs).square().mean())
    assert {name for name in found if "/" not in name} == set(MEASURES) - {"trainability"}, "which has tests of its own"
