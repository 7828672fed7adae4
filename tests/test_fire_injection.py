"""Plasticity injection: a head that learns as on the first day, and outputs that do not notice."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents.networks import Linear
from fire import (
    Companion,
    Fire,
    Injected,
    Injection,
    Intervention,
    Network,
    Never,
    NoIntervention,
    PlasticityManager,
    Position,
    Reset,
    ShrinkPerturb,
    fire_,
    parse_intervention,
    spell,
    take_inventory,
)

FRAMES = torch.randn(16, 2, 6, 6, generator=torch.Generator().manual_seed(1))
Trained = tuple[Network, nn.Module]


class QNetwork(nn.Module):
    """A small convolution network with its head in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten())
        self.head: nn.Module = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.encoder(frames))


def make_network(optimizer: Callable[..., Any] = torch.optim.Adam, seed: int = 0) -> Network:
    """A network as it is on its first day."""
    torch.manual_seed(seed)
    module = QNetwork()
    target = copy.deepcopy(module).requires_grad_(False)
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    temperature = nn.Parameter(torch.tensor(-4.6))
    companion = Companion("temperature", (temperature,), (torch.tensor(-4.6),), torch.optim.Adam([temperature], 0.1))
    optimizer = optimizer(module.parameters(), lr=1e-2)
    return Network("q", module, initial, optimizer, target, (companion,), encoder=("encoder",), head=("head",))


def train(network: Network, steps: int = 3, seed: int = 0) -> None:
    """Some updates towards the target's values, the target trailing behind, the companion moving too."""
    assert network.optimizer is not None
    assert network.target is not None
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        frames = torch.randn(16, 2, 6, 6, generator=generator)
        wanted = network.target(frames).amax(1, keepdim=True) * 0.9 + torch.randn(16, 3, generator=generator)
        loss = (network.module(frames) - wanted).square().mean()
        for companion in network.companions:
            loss = loss + companion.parameters[0].square()
        network.optimizer.zero_grad()
        loss.backward()
        network.optimizer.step()
        for companion in network.companions:
            assert companion.optimizer is not None
            companion.optimizer.step()
        with torch.no_grad():
            for behind, ahead in zip(network.target.parameters(), network.module.parameters(), strict=True):
                behind.lerp_(ahead, 0.3)


def trained_network(optimizer: Callable[..., Any] = torch.optim.Adam) -> Network:
    network = make_network(optimizer)
    train(network)
    return network


def act(network: Network, *methods: Intervention) -> PlasticityManager:
    """One event of each method, as a run's manager makes it."""
    for number, method in enumerate(methods):
        manager = PlasticityManager([network], method, Never())
        manager.act(Position(number + 1, number + 1))
    return manager


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def first_day(network: Network) -> nn.Module:
    """The network of the first day, injected as often or not at all."""
    del network
    return make_network().module


@pytest.mark.parametrize("times", [1, 2, 3])
def test_outputs_of_network_and_target_are_the_same_bit_by_bit(times):
    network = trained_network()
    for _ in range(times):
        train(network)
        before = network.module(FRAMES), network.target(FRAMES)
        act(network, Injection())
        assert torch.equal(network.module(FRAMES), before[0])
        assert torch.equal(network.target(FRAMES), before[1])
        assert not torch.equal(before[0], before[1]), "the target has its own old head"
