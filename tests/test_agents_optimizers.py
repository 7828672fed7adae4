"""A step of our optimizers equals torch's own step bit by bit, with less work around it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fire_rl.agents.learning import TrainedNetwork
from fire_rl.agents.optimizers import adam, adamw, begin_at_zero, let_go_of_gradients, take_step

SHAPES = ((3, 5, 7), (7,), (), (2, 1, 33))
Make = Callable[[list[Tensor]], torch.optim.Optimizer]


def groups(values: list[Tensor]) -> list[dict[str, Any]]:
    return [{"params": values[:2]}, {"params": values[2:], "lr": 0.5, "weight_decay": 0.3}]


MAKES: dict[str, Make] = {
    "adam": lambda values: adam(values, 0.01, (0.8, 0.95), 1e-4),
    "adamw": lambda values: adamw(values, 0.01, (0.8, 0.95), 1e-8, 0.1),
    "two groups": lambda values: torch.optim.AdamW(groups(values), 0.01, fused=True),
    "ascending": lambda values: torch.optim.Adam(values, 0.01, weight_decay=0.1, maximize=True, fused=True),
    "amsgrad": lambda values: torch.optim.Adam(values, 0.01, amsgrad=True, fused=True),
    "one by one": lambda values: torch.optim.AdamW(values, 0.01, foreach=False),
    "another": lambda values: torch.optim.SGD(values, 0.01, momentum=0.9),
}


def trained(make: Make, step: Callable[[torch.optim.Optimizer], object]) -> list[Tensor]:
    """Return parameters and the optimizer's state after some steps. The second parameter has no gradient at first."""
    random = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=random).requires_grad_() for shape in SHAPES]
    optimizer = make(values)
    if all(group.get("fused") and not group["amsgrad"] for group in optimizer.param_groups):
        begin_at_zero(optimizer)
    for number in range(6):
        for value in values:
            value.grad = torch.randn(value.shape, generator=random)
        if number < 2:
            values[1].grad = None
        step(optimizer)
    states = [state for one in optimizer.state.values() for state in one.values() if isinstance(state, Tensor)]
    return [*values, *states]


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
def test_a_step_equals_torch_s_own_bit_by_bit(make: Make) -> None:
    ours, torchs = trained(make, take_step), trained(make, lambda optimizer: optimizer.step())
    assert len(ours) > len(SHAPES)
    for our, other in zip(ours, torchs, strict=True):
        assert torch.equal(our, other)


def test_only_our_optimizers_are_stepped_without_the_optimizer_s_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    value, asked = torch.ones(3, requires_grad=True), list[str]()
    for name, make in MAKES.items():
        optimizer = make([value, *(torch.ones(2, requires_grad=True) for _ in SHAPES[1:])])
        begin_at_zero(optimizer)
        monkeypatch.setattr(optimizer, "step", lambda name=name: asked.append(name))
        take_step(optimizer)
    assert asked == ["amsgrad", "one by one", "another"]


def test_gradients_of_an_earlier_step_are_cleared() -> None:
    module = torch.nn.Linear(2, 1)
    network = TrainedNetwork("one", module, adam(list(module.parameters()), 0.1, (0.9, 0.99), 1e-8), head=())
    gradients: Any = []
    for _ in range(2):
        network.step(module(torch.ones(4, 2)).sum())
        gradients.append(module.weight.grad)
    assert gradients[0] is not None
    assert gradients[1].tolist() == [[4, 4]]
    let_go_of_gradients(module.parameters())
    assert module.weight.grad is None


def test_the_temperature_s_loss_is_its_own_gradient() -> None:
    for seed in range(20):
        entropy = torch.randn((), generator=torch.Generator().manual_seed(seed))
        log_temperature = (3 * entropy - 1).clone().requires_grad_()
        loss = log_temperature.exp() * (entropy - 1.5)
        (gradient,) = torch.autograd.grad(loss, log_temperature)
        assert torch.equal(gradient, loss)
