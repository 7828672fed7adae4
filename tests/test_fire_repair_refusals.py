"""Networks that cannot be repaired after a projection, and options that are wrong, are refused in one line."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Fire, Injection, Matrix, Network, Never, PlasticityManager, parse_method, spell
from tests.fixtures.repaired import NOW, draw, network_of, values


class Squared(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).square()


class Gated(nn.Module):
    """A layer of one's own whose outputs are not linear in its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def plastic_matrices(self) -> Any:
        yield Matrix("weight", self.weight, 4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs @ self.weight).sigmoid()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.lstm(inputs.unsqueeze(1))[0][:, 0])


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].requires_grad_(False)
    return module


@pytest.mark.parametrize(
    ("module", "method", "said"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), "fire:repair=head", "'1' keeps running statistics"),
        (nn.Sequential(nn.Linear(4, 4), nn.Conv1d(1, 1, 1)), "fire:repair=head", "last layer '1' is a Conv1d"),
        (tied(), "fire:repair=head", "last layer '1' cannot be fitted again: it is frozen"),
        (Recurrent(), "fire:scale=true", "'lstm' is a LSTM, .* exclude=lstm"),
        (nn.LayerNorm(4), "fire:repair=head", "no layer with a weight matrix"),
    ],
)
def test_what_cannot_be_repaired_is_refused_when_the_run_starts(module, method, said):
    network = Network("net", module, values(module))
    with pytest.raises(ValueError, match=f"network 'net' cannot be repaired: .*{said}"):
        PlasticityManager([network], parse_method(method), Never(), inputs={"net": draw(4)})


def test_an_injected_head_is_not_fitted_again():
    network, inputs = network_of("q")
    PlasticityManager([network], Injection(), Never()).act(NOW)
    with pytest.raises(ValueError, match="its head was injected"):
        PlasticityManager([network], Fire(repair="head"), Never(), inputs={"q": inputs})


@pytest.mark.parametrize(
    ("module", "method", "said"),
    [
        (nn.Sequential(nn.Linear(4, 4), Squared(4, 4)), "fire:repair=head", "'1' are not linear in its inputs"),
        (nn.Sequential(Gated(), nn.Linear(4, 4)), "fire:scale=true", "'0' are not linear in its weights"),
    ],
)
def test_what_cannot_be_repaired_is_refused_before_anything_changes(module, method, said):
    network = Network("net", module, values(module))
    before = values(module)
    manager = PlasticityManager([network], parse_method(method), Never(), inputs={"net": draw(4)})
    with pytest.raises(ValueError, match=said):
        manager.act(NOW)
    assert all(torch.equal(value, before[name]) for name, value in values(module).items())


def test_without_inputs_the_manager_refuses_at_once():
    network, _ = network_of("plain")
    with pytest.raises(ValueError, match=r"fire:repair=head needs inputs of network 'plain': give the manager inputs="):
        PlasticityManager([network], Fire(repair="head"), Never())
    PlasticityManager([network], Fire(), Never())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fire:repair=all", "nearest is"),
        ("fire:updates=10", "updates=10 given without repair=distil"),
        ("fire:repair=head,rate=0.1", "rate=0.1 given without repair=distil"),
        ("fire:repair=distil,updates=-1", "allowed is 0 to"),
        ("fire:repair=distil,rate=nan", "allowed is a learning rate above 0"),
        ("fire:scale=yes", "scale=yes is not of type bool"),
    ],
)
def test_wrong_options_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse_method(text)


def test_the_options_are_spelled_as_they_are_read():
    text = "fire:solver=exact,repair=distil,updates=100,rate=0.01,scale=true"
    assert spell(parse_method(text)) == text
