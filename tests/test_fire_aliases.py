"""Old names in `fire` mean exactly the same as the new ones."""

import copy
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from typing import Any, cast

import pytest
from torch import nn

from fire_rl import fire
from fire_rl.fire import (
    INTERVENTIONS,
    METHODS,
    At,
    Every,
    Intervention,
    Method,
    Network,
    Never,
    NoIntervention,
    NoMethod,
    PlasticityManager,
    Position,
    describe_interventions,
    describe_methods,
    interventions,
    parse_intervention,
    parse_method,
)


def test_old_names_are_the_same_things():
    assert Intervention is Method
    assert NoIntervention is NoMethod
    assert INTERVENTIONS is METHODS
    assert parse_intervention is parse_method
    assert describe_interventions is describe_methods


@pytest.mark.parametrize("name", [*fire.methods.__all__, "INTERVENTIONS", "Intervention", "NoIntervention"])
def test_the_old_module_has_all_names(name: str):
    assert getattr(interventions, name) is getattr(fire, name)


@dataclass(frozen=True, kw_only=True)
class Old(Intervention):
    """A method written for the old names."""

    def act(self, network: Network) -> dict[str, float]:
        return {"found": 2.0}


def test_a_method_written_for_the_old_names_is_a_method():
    module = nn.Linear(2, 2)
    network = Network("n", module, {name: value.clone() for name, value in module.state_dict().items()})
    manager = cast(Any, PlasticityManager)([network], intervention=Old(), schedule=Every(5), seed=3)
    assert manager.intervention is manager.method
    assert isinstance(manager.method, Method)
    assert (manager.seed, manager.schedule) == (3, Every(5))
    report = manager.act(Position(5, 7)).networks[0]
    assert report.figures == report.outcome == {"found": 2.0}


def test_the_manager_takes_its_method_once():
    with pytest.raises(TypeError):
        PlasticityManager([])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="method"):
        cast(Any, PlasticityManager)([], NoMethod(), Never(), intervention=NoMethod())


def test_positions_accept_the_old_word():
    position = cast(Any, Position)(updates=3, environment_steps=4)
    assert position == Position(3, 4) == Position(updates=3, progress=4)
    assert hash(position) == hash(Position(3, 4))
    assert position.environment_steps == position.progress == 4
    assert repr(position) == "Position(updates=3, progress=4)"
    with pytest.raises(TypeError):
        Position(3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Position(3, 4, environment_steps=4)  # type: ignore[call-arg]


def test_positions_are_frozen_dataclasses():
    position = Position(3, 4)
    assert [field.name for field in fields(position)] == ["updates", "progress"]
    assert replace(position, updates=5) == Position(5, 4)
    assert asdict(position) == {"updates": 3, "progress": 4}
    assert copy.deepcopy(position) == position != Position(4, 3)
    with pytest.raises(FrozenInstanceError):
        position.updates = 1  # type: ignore[misc]


def test_schedules_accept_the_old_word():
    schedule = cast(Any, At)(environment_steps=(500, 1000))
    assert schedule == At((500, 1000)) == At(points=(500, 1000))
    assert schedule.environment_steps == schedule.points == (500, 1000)
    assert hash(schedule) == hash(At((500, 1000)))
    for wrong in ((), (0, 5)):
        with pytest.raises(ValueError, match="allowed is one point or more"):
            cast(Any, At)(environment_steps=wrong)
