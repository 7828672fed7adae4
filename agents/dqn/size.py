"""The size of a DQN, computed from its settings."""

import math

from ..size import COPIES_WITH_TARGET, FLOAT, Layer, Size
from .networks import WIDTHS, kind_for

TARGETS_AT_ONCE = 4  # batches whose targets are computed in one pass; more need memory and are not faster


def dqn_size(
    network: str,
    observation_shape: tuple[int, ...],
    actions: int,
    hidden_width: int | None,
    double: bool,
    batch_size: int,
) -> Size:
    """Return the size of a DQN."""
    kind = kind_for(observation_shape) if network == "auto" else network
    layers = _q_layers(kind, observation_shape, actions, hidden_width or WIDTHS[kind])
    parameters = sum(layer.parameters for layer in layers)
    products = sum(layer.products for layer in layers)
    # One pass of the target, three to train the network (without gradients of observations), one for double Q-learning.
    passes = (5 if double else 4) * products - layers[0].products
    units = sum(layer.positions * layer.outputs for layer in layers)
    kept = 2 * units + TARGETS_AT_ONCE * (units + math.prod(observation_shape))  # for training, plus for the targets
    return Size(parameters, FLOAT * (COPIES_WITH_TARGET * parameters + batch_size * kept), 2 * batch_size * passes)


def _q_layers(kind: str, shape: tuple[int, ...], actions: int, width: int) -> list[Layer]:
    """Return the layers of a network of action values, as `make_network` builds them."""
    if kind == "mlp":
        return [Layer(shape[0], width), Layer(width, width), Layer(width, actions)]
    channels, sides, layers = shape[0], shape[1:], []
    for filters, side, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)) if kind == "nature" else ((16, 3, 1),):
        sides = tuple((length - side) // stride + 1 for length in sides)
        layers.append(Layer(channels * side**2, filters, math.prod(sides)))
        channels = filters
    return [*layers, Layer(channels * math.prod(sides), width), Layer(width, actions)]
