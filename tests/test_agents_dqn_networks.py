"""DQN's networks have the published shapes, sizes and initial values."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from fire_rl.agents import DQN, DQNSettings
from fire_rl.agents.dqn.networks import make_network

ATARI = (4, 84, 84)


def make_agent(shape: tuple[int, ...], actions: int = 4, scale: float = 1.0, **settings) -> DQN:
    return DQN(shape, actions, DQNSettings(**settings), seed=np.random.SeedSequence(0), scale=scale)


@pytest.mark.parametrize(
    ("shape", "actions", "width", "parameters"),
    [
        (ATARI, 4, None, 1_686_180),
        (ATARI, 18, None, 1_686_180 + 14 * 513),
        (ATARI, 4, 64, 77_984 + 3136 * 64 + 64 + 64 * 4 + 4),
        ((4, 10, 10), 6, None, 4 * 9 * 16 + 16 + 1024 * 128 + 128 + 128 * 6 + 6),
        ((7, 10, 10), 3, 32, 7 * 9 * 16 + 16 + 1024 * 32 + 32 + 32 * 3 + 3),
        ((4,), 2, None, 4 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2),
    ],
)
def test_networks_have_the_published_sizes(shape, actions, width, parameters):
    network = make_agent(shape, actions, hidden_width=width).network
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.zeros(3, *shape)).shape == (3, actions)
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"encoder", "head"}


@pytest.mark.parametrize("side", [36, 37, 40, 64, 84, 96])
def test_the_nature_network_takes_images_of_any_size_from_36_pixels_on(side):
    network = make_network("nature", (1, side, side + 5), 2)
    assert network(torch.zeros(1, 1, side, side + 5)).shape == (1, 2)


def test_images_too_small_for_the_nature_network_get_minatars():
    assert make_network("auto", (4, 35, 84), 2).get_parameter("encoder.0.weight").shape[0] == 16
    assert make_network("auto", (4, 36, 84), 2).get_parameter("encoder.0.weight").shape[0] == 32


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("nature", (4, 10, 10), r"'nature' cannot take observations of shape \(4, 10, 10\); nature takes images of at"),
        ("mlp", ATARI, "'mlp' cannot take"),
        ("minatar", (4,), "'minatar' cannot take"),
        ("auto", (4, 2, 10), r"of shape \(4, 2, 10\) given; DQN takes flat vectors"),
        ("auto", (84, 84), r"of shape \(84, 84\) given; DQN takes flat vectors"),
        ("natur", ATARI, "'natur' given; allowed are auto, nature, minatar, mlp; nearest is nature"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_line(kind, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        make_network(kind, shape, 2)
    assert "\n" not in str(error.value)


def test_weights_start_xavier_uniform_and_biases_at_zero():
    for name, parameter in make_agent(ATARI).network.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
            continue
        area = math.prod(parameter.shape[2:])
        bound = math.sqrt(6 / ((parameter.shape[0] + parameter.shape[1]) * area))
        assert parameter.abs().max().item() == pytest.approx(bound, rel=2e-2), name
        assert parameter.std().item() == pytest.approx(bound / math.sqrt(3), rel=3e-2), name


def test_initial_values_depend_on_the_runs_seed_alone():
    torch.manual_seed(0)
    one = make_agent(ATARI)
    torch.manual_seed(1)
    two = make_agent(ATARI)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, two.network.state_dict()[name])
        assert torch.equal(value, one.target_network.state_dict()[name])
        assert torch.equal(value, one.trained.initial[name])


def test_memory_order_changes_no_result_beyond_rounding():
    network = make_agent(ATARI, scale=1 / 255).network
    assert network.get_parameter("encoder.2.weight").is_contiguous(memory_format=torch.channels_last)
    images = torch.randint(256, (3, *ATARI), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = {name: value.contiguous() for name, value in network.state_dict().items()}
    x = images.float() / 255
    for layer, stride in ((0, 4), (2, 2), (4, 1)):
        x = functional.conv2d(x, plain[f"encoder.{layer}.weight"], plain[f"encoder.{layer}.bias"], stride).relu()
    x = functional.linear(x.flatten(1), plain["head.0.weight"], plain["head.0.bias"]).relu()
    expected = functional.linear(x, plain["head.2.weight"], plain["head.2.bias"])
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [ATARI, (4, 10, 10), (5,)])
def test_observations_of_any_type_are_scaled_and_left_as_they_are(shape):
    network = make_agent(shape, scale=0.5).network
    whole = torch.randint(256, (2, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = network(whole.float())
    for kind in (torch.uint8, torch.float32, torch.float64):
        observations = whole.to(kind)
        torch.testing.assert_close(network(observations), expected)
        assert torch.equal(observations, whole.to(kind))
    torch.testing.assert_close(make_agent(shape).network(whole.float() / 2), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_every": 0}, "--target-every 0 given; allowed is a finite number from 1 to inf"),
        ({"hidden_width": -3}, "--hidden-width -3"),
        ({"gamma": 1.1}, "--gamma 1.1 given; allowed is a finite number from 0 to 1"),
        ({"adam_epsilon": float("nan")}, "--adam-epsilon nan"),
        ({"final_exploration": 0.5, "initial_exploration": 0.1}, "at most --initial-exploration 0.1"),
        ({"n_steps": 0}, "--n-steps 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, message):
    DQNSettings().check()
    with pytest.raises(ValueError, match=message):
        DQNSettings(**settings).check()
