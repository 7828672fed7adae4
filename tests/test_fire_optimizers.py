"""A renewed optimizer takes the same next steps as a new one, bit by bit, and its state stays in place."""

import copy

import pytest
import torch
from torch import nn

from fire_rl.fire.network import Companion, renew_, renew_companion_

OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "Adam, amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True, foreach=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1, fused=True),
    "SGD, momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "SGD, Nesterov": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.9, centered=True),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=1e-2),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=1e-2),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
}
if hasattr(torch.optim, "Muon"):
    OPTIMIZERS["Muon"] = lambda p: torch.optim.Muon([q for q in p if q.ndim == 2], lr=1e-2)


def train(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(5):
        optimizer.zero_grad()
        module(torch.randn(8, 6, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_a_renewed_optimizer_steps_as_a_new_one(make):
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = make(list(module.parameters()))
    train(module, optimizer, seed=0)
    addresses = [value.data_ptr() for state in optimizer.state.values() for value in state.values()]
    twin = copy.deepcopy(module)
    new = make(list(twin.parameters()))
    renew_(optimizer)
    train(module, optimizer, seed=1)
    train(twin, new, seed=1)
    assert all(torch.equal(old, other) for old, other in zip(module.parameters(), twin.parameters(), strict=True))
    assert addresses == [value.data_ptr() for state in optimizer.state.values() for value in state.values()]


def test_an_optimizer_without_state_and_a_scheduled_learning_rate_are_left_as_they_are():
    optimizer = torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=1e-3)
    optimizer.param_groups[0]["lr"] = 5e-4
    renew_(optimizer)
    assert optimizer.param_groups[0]["lr"] == 5e-4
    assert not optimizer.state


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (torch.optim.NAdam([nn.Parameter(torch.ones(1))]), "NAdam cannot be renewed.*AdamW.*optimizer=keep"),
        (torch.optim.SGD([nn.Parameter(torch.ones(1))], momentum=0.9, dampening=0.1), "dampening"),
    ],
)
def test_optimizers_that_do_not_start_from_zeros_are_refused(optimizer, message):
    with pytest.raises(ValueError, match=message):
        renew_(optimizer)


def test_a_companion_starts_again_in_place():
    log_temperature = nn.Parameter(torch.tensor(0.5))
    optimizer = torch.optim.AdamW([log_temperature], fused=True)
    log_temperature.square().backward()
    optimizer.step()
    address = log_temperature.data_ptr()
    renew_companion_(Companion("temperature", (log_temperature,), (torch.tensor(-4.6),), optimizer))
    assert log_temperature.item() == pytest.approx(-4.6)
    assert log_temperature.data_ptr() == address
    assert all(value.abs().sum() == 0 for value in optimizer.state[log_temperature].values())


class Declared(torch.optim.Adam):
    """A user's own optimizer, which declares its state before the first step."""

    starts_at_zero = True


class Derived(Declared):
    """A class's declaration does not hold for its subclasses."""


def test_a_user_s_own_optimizer_may_declare_that_its_state_starts_at_zero():
    module = nn.Linear(6, 2)
    optimizer = Declared(module.parameters(), lr=1e-2)
    train(module, optimizer, seed=0)
    renew_(optimizer)
    assert not any(value.any() for state in optimizer.state.values() for value in state.values())
    with pytest.raises(ValueError, match="optimizer Derived cannot be renewed in place"):
        renew_(Derived(module.parameters()))
