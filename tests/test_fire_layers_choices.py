"""Which weights FIRE projects: frozen, tied, chosen by name; normalised weights are refused with advice that works."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from fire_rl.fire import Fire, Never, PlasticityManager, Position, fire_, parse_method, spell
from tests.fixtures.layers import before, cast_any, close, nearest, network_of


def test_frozen_weights_stay_and_are_listed():
    module: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].requires_grad_(False)
    old = before(module)
    report = fire_(module)
    assert torch.equal(module[1].weight, old["1.weight"])
    assert "left as they were, frozen (requires_grad is False; frozen='project' projects them): 1.weight" in str(report)
    assert [row.name for row in fire_(module, frozen="project").matrices] == ["0.weight", "1.weight", "2.weight"]
    with pytest.raises(ValueError, match="frozen=all given; allowed are skip and project"):
        fire_(module, frozen=cast_any("all"))


@pytest.mark.parametrize("method", ["fire", "reset", "shrink-perturb"])
def test_the_manager_leaves_frozen_weights_and_says_so(method: str):
    module: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network = network_of(module)
    module[0].requires_grad_(False)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    old = before(module)
    manager = PlasticityManager([network], parse_method(method), Never())
    event = manager.act(Position(1, 1))
    assert torch.equal(module[0].weight, old["0.weight"])
    assert torch.equal(module[0].bias, old["0.bias"])
    assert not torch.equal(module[1].weight, old["1.weight"])
    assert "left as they were, frozen (requires_grad is False" in str(event)


def test_nothing_left_to_project_is_an_error():
    module = nn.Linear(4, 4).requires_grad_(False)
    with pytest.raises(ValueError, match=r"no matrix left to project; weight: frozen"):
        PlasticityManager([network_of(module)], Fire(), Never())
    PlasticityManager([network_of(module)], Fire(frozen="project"), Never())
    biased = network_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU()).requires_grad_(False), encoder=("1",), head=("1",))
    with pytest.raises(ValueError) as caught:
        PlasticityManager([biased], Fire(), Never())
    assert "0.weight: frozen" in str(caught.value)
    assert "bias" not in str(caught.value)
    for method in ("reset", "shrink-perturb", "dash"):
        with pytest.raises(ValueError, match="no weights to rewrite: all are frozen"):
            PlasticityManager([biased], parse_method(method), Never())
        with pytest.raises(ValueError, match="no weights to rewrite: scope=head holds none"):
            PlasticityManager([biased], parse_method(f"{method}:scope=head"), Never())
    with pytest.raises(ValueError, match=r"the head of network 'model' \(1\) has no weights"):
        PlasticityManager([biased], parse_method("reset-head"), Never())


def test_the_frozen_target_of_a_network_is_projected_too():
    module, target = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)
    old = target.weight.clone()
    manager = PlasticityManager([network_of(module, target=target)], Fire(solver="exact", target="same"), Never())
    manager.act(Position(1, 1))
    close(target.weight, nearest(old))


def tied() -> Any:
    module = nn.ModuleDict({"wte": nn.Embedding(12, 8), "c_attn": nn.Linear(8, 24), "lm_head": nn.Linear(8, 12, False)})
    module["lm_head"].weight = module["wte"].weight
    return module


def test_a_tied_embedding_is_projected_only_by_choice():
    module = tied()
    old = before(module)
    report = fire_(module)
    assert torch.equal(module["wte"].weight, old["wte.weight"])
    assert "left as they were, tied to an embedding (tied='project' projects them" in str(report)
    report = fire_(module, solver="exact", tied="project")
    close(module["wte"].weight, nearest(old["wte.weight"]))
    assert [row.name for row in report.matrices] == ["c_attn.weight", "lm_head.weight"]


def test_the_method_has_the_same_choices_in_its_spelling_and_in_a_saved_state():
    spelled = "fire:include=c_attn|lm_head,exclude=*.1,split=c_attn:8/16,tied=project"
    method = parse_method(spelled)
    assert method == Fire(include=["c_attn", "lm_head"], exclude="*.1", split={"c_attn": (8, 16)}, tied="project")
    assert spell(method) == spelled
    assert len({method, parse_method(spelled)}) == 1
    module = tied()
    old = before(module)
    manager = PlasticityManager([network_of(module)], method, Never())
    event = manager.act(Position(1, 1))
    assert {row.name for row in event.networks[0].matrices} == {"c_attn.weight.0", "c_attn.weight.1", "lm_head.weight"}
    assert torch.equal(module["c_attn"].weight[8:], old["c_attn.weight"][8:])
    assert not torch.equal(module["c_attn"].weight[:8], old["c_attn.weight"][:8])
    assert "left out by name (include, exclude): c_attn.weight.1" in str(event)
    again = PlasticityManager([network_of(tied())], parse_method(manager.events[0].method), Never())
    again.load_state_dict(manager.state_dict())
    again.load_tensors(manager.tensors())
    assert again.latest(spelled) == Position(1, 1)


def test_a_pattern_that_matches_nothing_is_refused_when_the_run_starts():
    with pytest.raises(ValueError, match=r"'c_atn' matches no name.*nearest is c_attn"):
        PlasticityManager([network_of(tied())], Fire(split={"c_atn": 3}), Never())


NORMALISED: dict[str, Any] = {
    "remove_parametrizations(model.get_submodule('1'), 'weight')": parametrizations.weight_norm,
    "remove_parametrizations(model.get_submodule('1'), 'weight') ": parametrizations.spectral_norm,
    "torch.nn.utils.remove_weight_norm(model.get_submodule('1'), 'weight')": nn.utils.weight_norm,
    "torch.nn.utils.remove_spectral_norm(model.get_submodule('1'), 'weight')": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("advice", NORMALISED)
def test_normalised_weights_are_refused_with_advice_that_works(advice: str):
    norm = NORMALISED[advice]
    model: Any = nn.Sequential(nn.Linear(4, 4), norm(nn.Linear(4, 4)), nn.Linear(4, 4), norm(nn.Linear(4, 4)))
    with pytest.raises(ValueError) as caught:
        fire_(model)
    line = str(caught.value)
    kind = norm.__name__
    assert line.startswith(f"modules '1', '3': {kind} computes 'weight' from other tensors")
    assert advice.strip() in line
    assert line.endswith("(fire_: exclude=('1', '3'))")
    assert "\n" not in line
    assert [row.name for row in fire_(model, exclude=("1", "3")).matrices] == ["0.weight", "2.weight"]
    taken_off = line.partition("first (")[2].partition(") and add")[0]
    eval(taken_off, {"torch": torch, "model": model})
    eval(taken_off.replace("'1'", "'3'"), {"torch": torch, "model": model})
    assert len(fire_(model, solver="exact").matrices) == 4
    norm(model[1])
    assert parametrize.is_parametrized(model[1]) or len(model[1]._forward_pre_hooks) == 1
