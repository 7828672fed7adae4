"""Networks and loops with which a manager would do nothing, or the wrong thing, are refused with the right code."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from fire_rl.fire import (
    Companion,
    ContinualBackprop,
    Every,
    Fire,
    L2Init,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    Reset,
)
from fire_rl.fire.integrations.hooks import attach
from tests.fixtures.small_q_network import FRAMES, QNetwork, make_network


def other() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2))


def changed(**values: Any) -> Network:
    return replace(make_network(), **values)


def own_tensors() -> Network:
    network = make_network()
    return replace(network, initial=network.module.state_dict())


def target_s_tensors() -> Network:
    network = make_network()
    return replace(network, initial=network.target.state_dict())


def own_target() -> Network:
    network = make_network()
    return replace(network, target=network.module)


def wide_target() -> Network:
    target = QNetwork()
    target.encoder[0] = nn.Conv2d(2, 5, 3)
    return changed(target=target)


def shared_empty_companion() -> Network:
    empty = torch.zeros(0)
    return changed(companions=(Companion("nothing", (empty,), (empty,)),))


def shared_companion() -> Network:
    temperature = nn.Parameter(torch.ones(()))
    return changed(companions=(Companion("temperature", (temperature,), (temperature.detach(),)),))


UNSOUND = {
    own_tensors: "is the module's own tensor and changes with it, so that a reset would change nothing: at",
    target_s_tensors: "is the target's own tensor and changes with it",
    own_target: "its target shares tensors with the network: give target=copy.deepcopy(module)",
    wide_target: "its target's 'encoder.0.weight' has shape (5, 2, 3, 3), the network's (4, 2, 3, 3)",
    shared_companion: "companion 'temperature': an initial value is the parameter's own tensor",
    shared_empty_companion: "companion 'nothing': an initial value is the parameter's own tensor",
    lambda: changed(target=other()): "only one of network and target has",
    lambda: changed(target=3): "its target is a int, not an nn.Module",
    lambda: changed(head="head"): "head='head' given: give head=('head',)",
    lambda: changed(encoder="encoder"): "encoder='encoder' given: give encoder=('encoder',)",
    lambda: changed(head=3): "head=3 given: give head=a tuple of names",
    lambda: changed(head=("hed",)): "its head 'hed' is not the name of a module; nearest is head",
    lambda: changed(encoder=("encoder", "encoder.0.weight")): "'encoder.0.weight' is not the name of a module",
    lambda: changed(optimizer=torch.optim.Adam(other().parameters())): "its optimizer holds none of its parameters",
    lambda: changed(initial=other()): "initial is a Sequential, not a state_dict",
    lambda: changed(initial={"head.0.bias": torch.zeros(9)}): "initial['head.0.bias'] has shape (9,), the module",
    lambda: changed(module=other().to("meta")): "has no values yet, as it is on the meta device",
    lambda: changed(module=nn.ReLU()): "has no parameters",
    lambda: changed(module=3): "its module is a int, not an nn.Module",
    lambda: "q": "a str given as a network",
}


@pytest.mark.parametrize("make", UNSOUND, ids=lambda make: make.__name__)
def test_a_network_on_which_nothing_would_act_is_refused(make: Any):
    with pytest.raises(ValueError) as caught:
        PlasticityManager([make()], Reset(optimizer="keep"), Never())
    assert UNSOUND[make] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_given_twice_is_refused_under_two_names():
    network = make_network()
    with pytest.raises(ValueError, match=r"networks 'q' and 'again' share 'encoder\.0\.weight'"):
        PlasticityManager([network, replace(network, name="again")], Fire(), Never())


@pytest.mark.parametrize(
    ("networks", "method", "schedule", "right"),
    [
        (make_network(), Fire(), Never(), r"give a list, such as \[network\]"),
        ([make_network()], "fire", Never(), r"give parse_method\('fire'\)"),
        ([make_network()], Fire, Never(), r"give Fire\(\)"),
        ([make_network()], 3, Never(), r"give a method, such as Fire\(\)"),
        ([make_network()], Fire(), 50, r"give Every\(50\)"),
        ([make_network()], Fire(), Never, r"give Every\(updates\), At"),
    ],
)
def test_parts_that_belong_to_something_else_are_refused(networks: Any, method: Any, schedule: Any, right: str):
    with pytest.raises(ValueError, match=right):
        PlasticityManager(networks, method, schedule)


def loop(manager: PlasticityManager, network: Network, updates: int, told: bool = False, start: int = 0) -> None:
    """Train as in the docs. Without `told`, the calls that tell the manager of steps are missing."""
    assert network.optimizer is not None
    before = Position(start, 0)
    for update in range(start + 1, start + updates + 1):
        loss = network.module(FRAMES).square().mean()
        penalty = manager.penalty("q") if told else None
        network.optimizer.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
        network.optimizer.step()
        if told:
            manager.after_step("q")
        now = Position(update, 0)
        if manager.due(before, now):
            manager.act(now)
        before = now


def test_a_method_that_acts_at_every_step_and_is_never_told_of_one_is_refused():
    for method, regularizers, line in (
        (ContinualBackprop(), [], r"cbp acts after every gradient step, .*manager\.after_step\('q'\) after each opt"),
        (NoMethod(), [L2Init()], r"l2-init adds a penalty to every loss, .*manager\.penalty\('q'\), added to the loss"),
    ):
        network = make_network()
        manager = PlasticityManager([network], method, Never(), regularizers)
        with pytest.raises(ValueError, match=line) as caught:
            loop(manager, network, 50)
        assert "of 10 updates" in str(caught.value)
        assert "from fire_rl.fire.integrations.hooks import attach; attach(manager)" in str(caught.value)
        assert "\n" not in str(caught.value)
        loop(PlasticityManager([network], method, Never(), regularizers), network, 50, told=True)
        manager = PlasticityManager([network], method, Never(), regularizers)
        attached = attach(manager)
        loop(manager, network, 50)
        attached.detach()


def test_an_event_does_not_hide_that_a_regularizer_does_nothing():
    network = make_network()
    manager = PlasticityManager([network], Fire(), Every(5), [L2Init()])
    with pytest.raises(ValueError, match="l2-init adds a penalty to every loss, but of 5 updates"):
        loop(manager, network, 50)
    assert len(manager.events) == 0


def test_a_schedule_of_a_method_without_events_is_refused():
    with pytest.raises(ValueError, match=r"cbp acts at every gradient step and has no events: give the manager Never"):
        PlasticityManager([make_network()], ContinualBackprop(), Every(5))
    PlasticityManager([make_network()], NoMethod(), Every(5))  # a control, whose events only measure


def test_a_manager_that_continues_a_saved_one_counts_from_there():
    network = make_network()
    manager = PlasticityManager([network], Fire(), Every(20), [L2Init()])
    loop(manager, network, 30, told=True)
    state, tensors = manager.state_dict(), {name: value.clone() for name, value in manager.tensors().items()}
    resumed = PlasticityManager([network], Fire(), Every(20), [L2Init()])
    resumed.load_state_dict(copy.deepcopy(state))
    resumed.load_tensors(tensors)
    resumed.act(Position(30, 0))  # at its first boundary
    with pytest.raises(ValueError, match="of 10 updates"):
        loop(resumed, network, 20, start=30)


def test_a_trained_network_with_hooks_may_begin_anywhere():
    network = make_network()
    manager = PlasticityManager([network], Fire(), Never(), [L2Init()])
    attached = attach(manager)
    manager.act(Position(10_000, 0))
    for batch in range(10_001, 10_050):  # its gradients are summed: no step yet
        assert not manager.due(Position(batch - 1, 0), Position(batch, 0))
    attached.detach()
    fresh = PlasticityManager([make_network()], Fire(), Never(), [L2Init()])
    fresh.act(Position(10_000, 0))
    with pytest.raises(ValueError, match=r"of 1 updates .* if gradients of several batches are summed, they count"):
        fresh.act(Position(10_001, 0))


def test_steps_are_reported_for_every_network(recwarn: pytest.WarningsRecorder):
    manager = PlasticityManager([make_network(), replace(make_network(), name="p")], NoMethod(), Never(), [L2Init()])
    for update in range(1, 150):
        manager.penalty("q")
        manager.due(Position(update - 1, 0), Position(update, 0))
    (warning,) = recwarn.list
    assert "l2-init: in 100 updates no step of network 'p' was reported" in str(warning.message)


def test_steps_counted_twice_are_refused():
    network = make_network()
    manager = PlasticityManager([network], ContinualBackprop(), Never())
    attached = attach(manager)
    for again, right in ((lambda: attach(manager), "detach"), (lambda: manager.after_step("q"), "already")):
        with pytest.raises(ValueError, match=right):
            again()
    attached.detach()
    manager.after_step("q")
    attach(manager).detach()
    manager = PlasticityManager([make_network()], NoMethod(), Never(), [L2Init()])
    attach(manager)
    with pytest.raises(ValueError, match="already adds the penalty"):
        manager.penalty("q")


def test_a_loop_that_only_measures_gets_a_note_that_nothing_acted(recwarn: pytest.WarningsRecorder):
    for told in (True, False):
        network = make_network()
        assert network.optimizer is not None
        manager = PlasticityManager([network], NoMethod(), Never(), [L2Init()])
        for step in range(3):
            manager.measure({})
            manager.measure({})
            assert step or not [one for one in recwarn.list if "two measurements" in str(one.message)]
            penalty = manager.penalty("q") if told else 0.0
            (network.module(FRAMES).square().mean() + penalty).backward()
            network.optimizer.step()
    said = [str(warning.message) for warning in recwarn.list if "two measurements" in str(warning.message)]
    assert len(said) == 1
    assert "call manager.penalty(name) at each step; or once" in said[0]


def test_a_method_that_sees_no_unit_says_so(recwarn: pytest.WarningsRecorder):
    network = make_network()
    manager = PlasticityManager([network], ContinualBackprop(), Never())
    for _ in range(9):
        manager.after_step("q")
    network.module(FRAMES)
    for _ in range(30):
        assert len(recwarn.list) == 0 or _ > 9
        manager.after_step("q")
    (warning,) = recwarn.list
    assert "cbp: at 10 steps in a row no hidden layer of network 'q' has run" in str(warning.message)


CONFUSED: dict[str, Any] = {
    r"regularizers are given as text: give \[parse_regularizer\('l2-init'\)\]": {"regularizers": "l2-init"},
    r"give parse_regularizer\('l2-init'\)": {"regularizers": ["l2-init"]},
    "a L2Init given as regularizers: give a list": {"regularizers": L2Init()},
    r"one of the regularizers is given as a class: give L2Init\(": {"regularizers": [L2Init]},
    "reset acts at events, but a regularizer cannot": {"regularizers": [Reset()]},
    r"give \[parse_trigger\('dormant>0.1'\)\]": {"triggers": "dormant>0.1"},
    r"give parse_trigger\('dormant>0.1'\)": {"triggers": ["dormant>0.1"]},
    "a int given among the triggers": {"triggers": [3]},
}


@pytest.mark.parametrize("right", CONFUSED)
def test_other_values_than_lists_of_regularizers_or_triggers_are_refused(right: str):
    with pytest.raises(ValueError, match=right):
        PlasticityManager([make_network()], Fire(), Never(), **CONFUSED[right])


def test_unknown_networks_and_computed_losses_are_refused():
    manager = PlasticityManager([make_network()], NoMethod(), Never())
    loss: Any = torch.ones(())
    calls: dict[str, Any] = {
        "network 'qs' is unknown; known are q; nearest is q": lambda: manager.after_step("qs"),
        "network 'net' is unknown": lambda: manager.penalty("net"),
        "the loss of network 'q' is a Tensor: give a function": lambda: manager.act(Position(0, 0), {"q": loss}),
        "losses are a Tensor: give a function for each": lambda: manager.measure(loss),
    }
    for said, call in calls.items():
        with pytest.raises(ValueError, match=said):
            call()
