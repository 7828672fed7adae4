"""How large an agent is, by arithmetic from its settings: nothing is built, so no size is too large to ask for."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from .q_network import WIDTHS, kind_for

FLOAT = 4  # bytes
# What is kept of each trained number: itself, its gradient, Adam's two moments, its initial value; and in a target.
COPIES, COPIES_WITH_TARGET = 5, 6
BLOCK_BYTES = 60_000  # Python's objects of a residual block and its optimizer's state, in addition to their numbers
TARGETS_AT_ONCE = 4  # batches whose targets DQN computes in one pass; more take memory and are no faster


@dataclass(frozen=True)
class Size:
    """Of an agent."""

    parameters: int  # of its trained networks
    bytes: int  # that it holds, with the activations of one gradient step
    operations: int  # of floating-point numbers in one gradient step, matrix products and convolutions alone


class _Layer(NamedTuple):
    """A linear layer, or a convolution with as many positions."""

    inputs: int
    outputs: int
    positions: int = 1

    @property
    def parameters(self) -> int:
        return (self.inputs + 1) * self.outputs

    @property
    def products(self) -> int:
        return self.positions * self.inputs * self.outputs


def sac_size(
    observation_size: int,
    action_size: int,
    actor: tuple[int, int],
    critic: tuple[int, int],
    critics: int,
    batch_size: int,
) -> Size:
    """Soft actor-critic's; `actor` and `critic` are the width and the blocks of their SimBa encoders."""
    (actor_width, actor_blocks), (critic_width, critic_blocks) = actor, critic
    head = _Layer(actor_width, 2 * action_size)
    joint_size = observation_size + action_size
    actor_parameters = _encoder_parameters(observation_size, *actor) + head.parameters
    critic_parameters = critics * (_encoder_parameters(joint_size, *critic) + critic_width + 1)
    actor_first, critic_first = observation_size * actor_width, critics * joint_size * critic_width
    actor_products = actor_first + 8 * actor_blocks * actor_width**2 + head.products
    critic_products = critic_first + critics * (8 * critic_blocks * critic_width**2 + critic_width)
    # The actor acts twice and is trained; the critic judges twice, leads the actor's gradient to its actions and is
    # trained, its target judges once. Nobody asks for gradients of observations.
    products = 4 * actor_products - actor_first + 6 * critic_products - critic_first
    # Kept for the backward pass by each block: its input, the normalised one, the wide layer; and gradients as wide.
    kept = actor_width * (12 * actor_blocks + 4) + critics * critic_width * (12 * critic_blocks + 4)
    return Size(
        actor_parameters + critic_parameters,
        FLOAT * (COPIES * actor_parameters + COPIES_WITH_TARGET * critic_parameters + batch_size * kept)
        + BLOCK_BYTES * (actor_blocks + 2 * critic_blocks),
        2 * batch_size * products,
    )


def dqn_size(
    network: str,
    observation_shape: tuple[int, ...],
    actions: int,
    hidden_width: int | None,
    double: bool,
    batch_size: int,
) -> Size:
    """DQN's."""
    kind = kind_for(observation_shape) if network == "auto" else network
    layers = _q_layers(kind, observation_shape, actions, hidden_width or WIDTHS[kind])
    parameters = sum(layer.parameters for layer in layers)
    products = sum(layer.products for layer in layers)
    # The target judges, the network is trained, and with double Q-learning it chooses; no gradients of observations.
    passes = (5 if double else 4) * products - layers[0].products
    units = sum(layer.positions * layer.outputs for layer in layers)
    kept = 2 * units + TARGETS_AT_ONCE * (units + math.prod(observation_shape))  # for training, and for the targets
    return Size(
        parameters,
        FLOAT * (COPIES_WITH_TARGET * parameters + batch_size * kept),
        2 * batch_size * passes,
    )


def _encoder_parameters(inputs: int, width: int, blocks: int) -> int:
    """Of a SimBa encoder: a linear layer, blocks four times as wide inside with a norm each, a norm."""
    block = 2 * width + _Layer(width, 4 * width).parameters + _Layer(4 * width, width).parameters
    return _Layer(inputs, width).parameters + blocks * block + 2 * width


def _q_layers(kind: str, shape: tuple[int, ...], actions: int, width: int) -> list[_Layer]:
    """The layers of a network of action values, as `make_network` builds them."""
    if kind == "mlp":
        return [_Layer(shape[0], width), _Layer(width, width), _Layer(width, actions)]
    channels, sides, layers = shape[0], shape[1:], []
    for filters, side, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)) if kind == "nature" else ((16, 3, 1),):
        sides = tuple((length - side) // stride + 1 for length in sides)
        layers.append(_Layer(channels * side**2, filters, math.prod(sides)))
        channels = filters
    return [*layers, _Layer(channels * math.prod(sides), width), _Layer(width, actions)]
