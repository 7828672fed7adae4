"""`attach` hooks a manager into a training loop that is not ours."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fire_rl.fire import Method, Network, Never, NoMethod, PlasticityManager
from fire_rl.fire.integrations.hooks import attach
from tests.fixtures.sb3_models import Pull

ROOT = Path(__file__).parent.parent


def make_manager(method: Method) -> tuple[nn.Sequential, torch.optim.Optimizer, PlasticityManager]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    return model, optimizer, PlasticityManager([Network("model", model, initial, optimizer)], method, Never())


def test_hooks_do_the_same_as_a_loop_that_calls_the_manager():
    """The gradient of a sum is the sum of the gradients, up to rounding. The memories agree too."""
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    weights, figures = [], []
    for hooked in (False, True):
        model, optimizer, manager = make_manager(Pull())
        if hooked:
            attach(manager)
        for _ in range(5):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            if not hooked:
                penalty = manager.penalty("model")
                assert penalty is not None
                loss = loss + penalty
            loss.backward()
            optimizer.step()
            if not hooked:
                manager.after_step("model")
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        figures.append(manager.figures())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-5, atol=1e-7)
    assert figures[1] == pytest.approx(figures[0], rel=1e-4)
    assert figures[1]["model/steps"] == 5


def test_detached_hooks_do_nothing():
    model, optimizer, manager = make_manager(Pull())
    attached = attach(manager)
    attached.detach()
    model(torch.ones(1, 4)).sum().backward()
    gradient = copy.deepcopy(model[0].weight.grad)
    optimizer.step()
    assert torch.equal(model[0].weight.grad, gradient)  # type: ignore[arg-type]
    assert manager.figures()["model/steps"] == 0


def test_optimizers_get_no_hooks_where_nothing_acts_at_every_step():
    _, optimizer, manager = make_manager(NoMethod())
    attach(manager)
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_hooks_refuse_what_they_cannot_follow():
    model, optimizer, manager = make_manager(Pull())
    attach(manager)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)
    network = Network("model", model, {name: value.clone() for name, value in model.state_dict().items()})
    with pytest.raises(ValueError, match="no optimizer"):
        attach(PlasticityManager([network], Pull(), Never()))


def test_fire_does_not_import_stable_baselines3():
    imports = re.compile(r"^\s*(from|import) [\w.]*(stable_baselines3|integrations)", re.MULTILINE)
    importing = {path.name for path in (ROOT / "fire").rglob("*.py") if imports.search(path.read_text())}
    assert importing == {"stable_baselines3.py", "stable_baselines3_networks.py"}
