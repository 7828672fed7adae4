"""A manager's saved events may be forged: what fits is taken, and anything else is refused in one line."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fire_rl.fire import Fire, Injection, Never, PlasticityManager, Position, restore_structure
from fire_rl.fire.record import MOST_CHANGES
from tests.fixtures.small_q_network import make_network


def structure(manager: PlasticityManager) -> list[str]:
    return [key for network in manager.networks.values() for key in network.module.state_dict()]


GOOD = {
    "event_count": 2,
    "latest": {"injection": {"updates": 3, "environment_steps": 4}},
    "structure": [{"method": "injection", "network": "q"}],
}
CHANGED = PlasticityManager([make_network()], Injection(), Never()).act(Position(1, 1)).to_json()


def with_change(state: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the state with another value at a path, or without the value if it is `...`."""
    state = copy.deepcopy(state)
    place = state
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return state


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


PATHS: list[tuple[Any, ...]] = [
    ("event_count",),
    ("latest",),
    ("latest", "injection"),
    ("latest", "injection", "updates"),
    ("latest", "injection", "environment_steps"),
    ("structure",),
    ("structure", 0),
    ("structure", 0, "method"),
    ("structure", 0, "network"),
]
EVENT_PATHS: list[tuple[Any, ...]] = [
    ("events",),
    ("events", 0),
    ("events", 0, "method"),
    ("events", 0, "seconds"),
    ("events", 0, "position"),
    ("events", 0, "position", "updates"),
    ("events", 0, "networks"),
    ("events", 0, "networks", 0),
    ("events", 0, "networks", 0, "name"),
    ("events", 0, "networks", 0, "matrices"),
    ("events", 0, "networks", 0, "matrices", 0),
    ("events", 0, "networks", 0, "matrices", 0, "d_out"),
    ("events", 0, "networks", 0, "matrices", 0, "scale"),
    ("events", 0, "networks", 0, "figures"),
]


def test_a_method_whose_record_could_not_be_read_is_refused():
    with pytest.raises(
        ValueError, match=r"the method with its options has .* characters; allowed are 5,000: name fewer"
    ):
        PlasticityManager([make_network()], Fire(include=("encoder.0.weight",) * 400), Never())


WRONG = [True, -1, 2**64, nested(5_000), {"a": nested(5_000)}, "nobody", "two\nlines", "x" * 10_000, object()]


def refused(state: Any) -> str:
    """Return the line with which a state is refused, after which nothing has changed."""
    manager = PlasticityManager([make_network()], Injection(), Never())
    before = structure(manager)
    with pytest.raises(ValueError) as caught:
        manager.load_state_dict(state)
    assert structure(manager) == before
    assert manager.event_count == 0
    network = make_network()
    with pytest.raises(ValueError):
        restore_structure([network], state)
    assert list(network.module.state_dict()) == before
    return str(caught.value)


def fits(path: tuple[Any, ...], value: Any) -> bool:
    """Say whether a value is allowed: a negative scale is a number too, and a mapping of figures may be empty."""
    return path[-1] in ("seconds", "scale") and value == -1


@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
def test_a_forged_state_is_refused_in_one_line(value):
    for path in PATHS:
        complaint = refused(with_change(GOOD, path, value))
        assert "\n" not in complaint
        assert len(complaint) < 500
    for path in EVENT_PATHS:
        if not fits(path, value) and not (path[-1] == "method" and value == "nobody"):
            complaint = refused(with_change({"events": [CHANGED]}, path, value))
            assert "\n" not in complaint
            assert len(complaint) < 500


def test_a_state_without_one_of_its_entries_is_refused():
    optional = {("event_count",), ("latest", "injection"), ("structure", 0), ("events", 0)}
    for path in [path for path in PATHS if path not in optional]:
        refused(with_change(GOOD, path, ...))
    may_lack = {*optional, ("events", 0, "networks", 0), ("events", 0, "networks", 0, "figures")}
    may_lack.add(("events", 0, "networks", 0, "matrices", 0))
    for path in [path for path in EVENT_PATHS if path not in may_lack]:
        refused(with_change({"events": [CHANGED]}, path, ...))
    nothing: list[Any] = [None, [], 7, "state", {}]
    for state in nothing:
        refused(state)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"method": "os:system", "network": "q"}, "names method 'os:system', which is neither built in"),
        ({"method": "fire", "network": "q"}, "'fire' changed a structure, but this method cannot"),
        ({"method": "injection", "network": "actor"}, "names network 'actor', which is unknown; known are q"),
        ({"method": "injection:optimizer=none", "network": "q"}, "optimizer=none is not one of"),
        ({"method": "injection:strength=2", "network": "q"}, "no field 'strength'"),
    ],
)
def test_an_unknown_change_of_structure_is_refused_before_any_is_made(change, complaint):
    assert complaint in refused(GOOD | {"structure": [*GOOD["structure"], change]})  # type: ignore[misc]


def test_too_many_changes_of_structure_are_refused():
    assert "more than 250" in refused(GOOD | {"structure": GOOD["structure"] * (MOST_CHANGES + 1)})  # type: ignore[operator]


def test_no_code_that_a_record_names_is_imported(tmp_path, monkeypatch):
    (tmp_path / "trap_of_a_record.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    refused(with_change(GOOD, ("structure", 0, "method"), "trap_of_a_record:Method"))
    state = with_change({"events": [CHANGED]}, ("events", 0, "method"), "trap_of_a_record:Method")
    with pytest.raises(ValueError, match="neither built in"):
        PlasticityManager([make_network()], Injection(), Never()).load_state_dict(state)
    restore_structure([make_network()], state)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PATHS), anything)
def test_any_value_anywhere_is_taken_or_refused(path, value):
    manager = PlasticityManager([make_network()], Injection(), Never())
    complaint = ""
    try:
        manager.load_state_dict(with_change(GOOD, path, value))
    except ValueError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert json.dumps(manager.state_dict(), allow_nan=False)
