"""DQN's presets change weights, biases, target and Adam as the FIRE paper's code does, which is repeated here."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import DQN, KINDS, DQNSettings
from fire_rl.fire import Never, PlasticityManager, Position, parse_method
from fire_rl.replay import Batch

SHAPE, BATCH = (4, 36, 36), 8
State = dict[str, Tensor]


@pytest.fixture
def agent() -> DQN:
    """Return an agent whose network, target, biases and moments have all changed in different ways."""
    agent = DQN(
        SHAPE,
        3,
        DQNSettings(hidden_width=32, learning_rate=1e-2, target_every=4),
        seed=np.random.SeedSequence(0),
        scale=1 / 255,
    )
    random = torch.Generator().manual_seed(0)
    lead = (6, BATCH)
    agent.update(
        Batch(
            torch.randint(256, (*lead, *SHAPE), dtype=torch.uint8, generator=random),
            torch.randint(3, lead, generator=random),
            torch.randn(lead, generator=random),
            torch.randint(256, (*lead, *SHAPE), dtype=torch.uint8, generator=random),
            torch.zeros(lead),
            torch.ones(lead),
        )
    )
    return agent


def doubles(values: State) -> State:
    return {
        name: value.detach().double().clone(memory_format=torch.contiguous_format) for name, value in values.items()
    }


def newton_schulz(matrix: Tensor) -> Tensor:
    """The published solver: ten cubic steps on the tall orientation of the Frobenius-normalised matrix."""
    wide = matrix.shape[1] > matrix.shape[0]
    x = matrix.T if wide else matrix
    x = x / x.norm()
    for _ in range(10):
        x = 1.5 * x - 0.5 * x @ (x.T @ x)
    return x.T if wide else x


def published_reset(network: State, target: State, initial: State) -> None:
    for name in network:
        network[name] = target[name] = initial[name]


def published_shrink_perturb(network: State, target: State, initial: State) -> None:
    for name in network:
        for values in (network, target):
            linear = name.startswith("head")
            values[name] = initial[name] if linear else 0.2 * values[name] + 0.8 * initial[name]


def published_fire(network: State, target: State, initial: State) -> None:
    """Project convolution weights at each kernel position. The convolution biases of the target stay as they were."""
    for name, weight in network.items():
        if name.startswith("head"):
            network[name] = target[name] = initial[name]
        elif name.endswith("weight"):
            rows, columns, height, width = weight.shape
            projected = torch.empty_like(weight)
            for i in range(height):
                for j in range(width):
                    projected[:, :, i, j] = newton_schulz(weight[:, :, i, j])
            network[name] = target[name] = projected * (math.sqrt(rows / columns) / (height * width))


@pytest.mark.parametrize(
    ("name", "published"),
    [("reset", published_reset), ("shrink-perturb", published_shrink_perturb), ("fire", published_fire)],
)
def test_an_event_changes_what_the_published_code_changes(agent, name, published):
    network, target = (doubles(module.state_dict()) for module in (agent.network, agent.target_network))
    old_target = dict(target)
    adam = {key: value.clone() for key, value in agent.state_dict().items() if key.startswith("optimizer")}
    assert any((value != 0).any() for key, value in network.items() if key.endswith("bias"))
    assert not torch.equal(network["encoder.0.bias"], target["encoder.0.bias"])

    act(agent, name)
    published(network, target, doubles(agent.trained.initial))
    if name == "fire":  # our target becomes a copy of the whole network
        for key in ("encoder.0.bias", "encoder.2.bias", "encoder.4.bias"):
            assert torch.equal(target[key], old_target[key])
            target[key] = network[key]
    for module, expected in ((agent.network, network), (agent.target_network, target)):
        for key, value in module.state_dict().items():
            torch.testing.assert_close(value.double(), expected[key], rtol=1e-5, atol=1e-6, msg=key)
    for key, value in adam.items():
        assert torch.equal(agent.state_dict()[key], value), "Adam's state is kept"


def test_no_method_changes_nothing(agent):
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    act(agent, "none")
    assert all(torch.equal(value, before[name]) for name, value in agent.state_dict().items())


def test_fire_of_all_matrices_projects_the_linear_layers_too(agent):
    network = doubles(agent.network.state_dict())
    act(agent, "fire:scope=all")
    for key, value in agent.network.state_dict().items():
        if key.startswith("head") and key.endswith("weight"):
            rows, columns = value.shape
            expected = newton_schulz(network[key]) * math.sqrt(rows / columns)
            torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-5)
        elif key.endswith("bias"):
            assert torch.equal(value.double(), network[key])
        assert torch.equal(agent.target_network.state_dict()[key], value)


def act(agent: DQN, spelling: str) -> None:
    method = parse_method(spelling, presets=KINDS["dqn"].published)
    PlasticityManager(agent.plastic(), method, Never()).act(Position(0, 0))
