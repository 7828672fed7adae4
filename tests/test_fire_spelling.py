"""How methods are spelled, parsed and listed."""

import sys
import types
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fire_rl.fire import (
    ContinualBackprop,
    Fire,
    Injection,
    Method,
    NoMethod,
    Reset,
    SelfNormalizedResets,
    ShrinkPerturb,
    describe_methods,
    parse_method,
    spell,
)

PRESETS = {
    "fire": Fire(scope="encoder", outside="reset", optimizer="keep"),
    "sr-dqn": ShrinkPerturb(scope="encoder", outside="reset", optimizer="keep"),
}


@dataclass(frozen=True, kw_only=True)
class Noise(Method):
    """Add noise to the weights."""

    strength: float = field(metadata={"help": "standard deviation"})
    repeat: int = 1
    centred: bool = False
    name: str = "noise"


@pytest.fixture(autouse=True)
def importable_module(monkeypatch):
    module: Any = types.ModuleType("my_methods")
    module.Noise, module.NotAMethod = Noise, dict
    monkeypatch.setitem(sys.modules, "my_methods", module)
    monkeypatch.setattr(Noise, "__module__", "my_methods")


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("none", NoMethod()),
        ("reset", Reset()),
        ("reset:scope=head", Reset(scope="head")),
        ("shrink-perturb:keep=0.5", ShrinkPerturb(keep=0.5)),
        ("fire", Fire()),
        ("fire:solver=exact,scope=encoder", Fire(solver="exact", scope="encoder")),
        (" fire: steps = 5 , target = keep ", Fire(steps=5, target="keep")),
        ("fire:steps=none", Fire()),
        ("my_methods:Noise:strength=0.1", Noise(strength=0.1)),
        (
            "my_methods:Noise:strength=2,repeat=3,centred=true,name=x",
            Noise(strength=2.0, repeat=3, centred=True, name="x"),
        ),
    ],
)
def test_methods_are_read_from_text_and_written_back(text, method):
    assert parse_method(text) == method
    assert parse_method(spell(method)) == method


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("cbp", ContinualBackprop()),
        ("cbp:replacement_rate=0.001,maturity=100", ContinualBackprop(replacement_rate=0.001, maturity=100)),
        ("cbp:biases=correct", ContinualBackprop(biases="correct")),
        ("snr", SelfNormalizedResets()),
        ("snr:rejection=0.02,longest=100", SelfNormalizedResets(rejection=0.02, longest=100)),
        ("snr:period=16,apply_every=1", SelfNormalizedResets(period=16, apply_every=1)),
        ("injection", Injection()),
        ("injection:optimizer=keep", Injection(optimizer="keep")),
        ("injection:companions=renew", Injection(companions="renew")),
    ],
)
def test_each_method_is_spelled_with_the_fields_that_were_given(text, method):
    assert parse_method(text) == method
    assert spell(method) == text


def test_spelling_names_only_what_differs():
    assert spell(Fire()) == "fire"
    assert spell(Fire(solver="exact", scope="encoder")) == "fire:scope=encoder,solver=exact"
    assert spell(Noise(strength=0.1, centred=True)) == "my_methods:Noise:strength=0.1,centred=true"


methods = st.one_of(
    st.builds(
        Fire,
        solver=st.sampled_from(["newton-schulz", "polar-express"]),
        steps=st.none() | st.integers(1, 20),
        scope=st.sampled_from(["all", "head"]),
    ),
    st.builds(
        ShrinkPerturb,
        keep=st.floats(0, 1),
        outside=st.sampled_from(["keep", "reset"]),
        scope=st.sampled_from(["all", "encoder"]),
    ),
    st.builds(Reset, optimizer=st.sampled_from(["renew", "keep"]), target=st.sampled_from(["copy", "same", "keep"])),
)


@given(methods, st.sampled_from([None, PRESETS]))
def test_parsing_undoes_spelling_with_and_without_presets(method, presets):
    assert parse_method(spell(method, presets), presets) == method


def test_presets_are_names_for_field_values():
    assert parse_method("fire", PRESETS) == PRESETS["fire"]
    assert parse_method("fire:solver=exact", PRESETS) == Fire(
        scope="encoder", outside="reset", optimizer="keep", solver="exact"
    )
    assert parse_method("sr-dqn", PRESETS) == PRESETS["sr-dqn"]
    assert spell(PRESETS["sr-dqn"], PRESETS) == "sr-dqn"
    assert spell(PRESETS["fire"]) == "fire:scope=encoder,outside=reset,optimizer=keep"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fir", "known are none, reset, .*, module:Class; nearest is fire"),
        ("rest:scope=head", "nearest is reset"),
        ("", "method '' is unknown"),
        ("Noise", "a class of your own is named with its module"),
        ("my_methods.Noise", "nearest is my_methods:Noise"),
        ("fire:sover=exact", "Fire has no field 'sover'.*nearest is solver"),
        ("none:scope=all", "NoMethod has no field 'scope'; it has no fields"),
        ("fire:exact", "'exact' is not of the form field=value"),
        ("fire:solver=exat", "solver=exat is not one of newton-schulz, exact, polar-express; nearest is exact"),
        ("fire:steps=ten", "steps=ten is not of type int"),
        ("shrink-perturb:keep=much", "keep=much is not of type float"),
        ("my_methods:Noise:strength=1,centred=perhaps", "centred=perhaps is not of type bool"),
        ("my_methods:Noise", "strength"),
        ("my_methods:NotAMethod", "not a subclass of fire_rl.Method"),
        ("my_methods:Missing", "cannot be imported"),
        ("my_methods:Nose", "its methods are Noise; nearest is Noise"),
        (
            "no_such_module:Thing",
            r"No module named .*; save it as no_such_module\.py in .*, or in a folder on PYTHONPATH",
        ),
        (
            "./folder/no_such_module.py:Thing",
            r"give the name of the module, without folder and \.py: no_such_module:Thing",
        ),
        ("no_such_module.py:Thing", r"give the name of the module, without folder and \.py: no_such_module:Thing"),
        ("cbp:replacement_rate=2", "replacement_rate=2.0 must lie between 0 and 1"),
        ("cbp:maturity=-1", "maturity=-1 must be 0 or more gradient steps"),
        ("cbp:decay=1", "decay=1.0 must be at least 0 and less than 1"),
        ("cbp:biases=zero", "biases=zero is not one of keep, correct; nearest is"),
        ("snr:rejection=0", "rejection=0.0 must lie between 0 and 1"),
        ("snr:longest=0", "longest=0 must be at least 1 gradient step"),
        ("snr:period=0", "period=0 must be at least 1 gradient step"),
        ("snr:apply_every=0", "apply_every=0 must be at least 1 gradient step"),
        ("injection:optimizer=kep", "nearest is"),
        ("injection:scope=head", "nearest is"),
        ("injektion", "nearest is"),
        ("fire:split=c_attn", "split=c_attn given; allowed is PATTERN:PARTS"),
        ("fire:split=c_attn:three", "allowed is PATTERN:PARTS"),
        ("fire:include=a||b", "pattern '' given"),
        ("fire:tied=projct", "tied=projct is not one of skip, project; nearest is project"),
    ],
)
def test_mistakes_are_refused_in_one_line_that_helps(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_method(text)
    assert "\n" not in str(error.value)


def test_help_lists_every_method_field_and_preset():
    text = describe_methods(PRESETS)
    for wanted in [
        "shrink-perturb: Mix",
        "keep=0.2: share",
        "solver=newton-schulz",
        "scope=all: where it acts (all, encoder, head)",
    ]:
        assert wanted in text
    assert "sr-dqn: Mix weights with their initial values" in text
    assert "Here shrink-perturb:scope=encoder,outside=reset,optimizer=keep." in text
