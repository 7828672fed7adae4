"""Networks of action values: an encoder of observations and a head of two linear layers.

nature: Mnih et al. 2015, "Human-level control through deep reinforcement learning"; minatar: Young and Tian 2019,
"MinAtar". Initial values as in the FIRE paper's experiments: Xavier-uniform weights, zero biases.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fire_rl.fire import HiddenLayer
from fire_rl.fire.nearest import choices
from fire_rl.fire.units import chain

WIDTHS = {"nature": 512, "minatar": 128, "mlp": 256}
SMALLEST = {"nature": 36, "minatar": 3}  # least height and width in pixels, so that the last convolution has a position


class QNetwork(nn.Module):
    """(batch, *observation) -> (batch, actions). The head is one module, so that it can be replaced as a whole."""

    def __init__(self, encoder: nn.Module, features: int, width: int, actions: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = encoder
        layers = nn.Linear(features, width), nn.ReLU(inplace=True), nn.Linear(width, actions)
        self.head: nn.Module = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Return the value of each action."""
        images = observations.dim() == 4
        inputs = pixels(observations, self.scale) if images else observations.float() * self.scale
        return self.head(self.encoder(inputs)).to(inputs.dtype)

    def plastic_units(self) -> Iterator[HiddenLayer]:
        """Declare to `fire` that the head's first layer reads the encoder's last units."""
        return chain((("encoder", self.encoder), ("head", self.head)))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw Xavier-uniform weights, and set biases to zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                # Draw in the order of the shape, independent of the order in memory.
                layer.weight.copy_(nn.init.xavier_uniform_(torch.empty(layer.weight.shape), generator=generator))
                layer.bias.zero_()  # type: ignore[union-attr]  # there always is one


def pixels(images: Tensor, scale: float) -> Tensor:
    """Return scaled images with channels innermost in memory, where convolutions are fastest. Stacking the channels
    is five times as fast as `contiguous(memory_format=...)`, which moves bytes one at a time."""
    return torch.stack(images.unbind(1), -1).float().mul_(scale).permute(0, 3, 1, 2)


def make_network(
    kind: str, observation_shape: tuple[int, ...], actions: int, width: int | None = None, scale: float = 1.0
) -> QNetwork:
    """Return a network of the named kind, or (auto) of the kind that fits the observations; it is not initialised."""
    kind = kind_for(observation_shape) if kind == "auto" else kind
    if kind not in WIDTHS:
        raise ValueError(f"network {kind!r} given; allowed are {choices(kind, ['auto', *WIDTHS])}")
    if not fits(kind, observation_shape):
        raise ValueError(
            f"network {kind!r} cannot take observations of shape {observation_shape}; nature takes images of at least "
            f"{SMALLEST['nature']} pixels on each side, minatar of at least {SMALLEST['minatar']}, mlp vectors"
        )
    width = width or WIDTHS[kind]
    if kind == "nature":
        encoder, features = nature_encoder(*observation_shape)
    elif kind == "minatar":
        encoder, features = minatar_encoder(*observation_shape)
    else:
        encoder, features = nn.Sequential(nn.Linear(observation_shape[0], width), nn.ReLU(inplace=True)), width
    network = QNetwork(encoder, features, width, actions, scale)
    network.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    return network


def kind_for(observation_shape: tuple[int, ...]) -> str:
    """Return the kind of network that `auto` means."""
    for kind in WIDTHS:
        if fits(kind, observation_shape):
            return kind
    raise ValueError(
        f"observations of shape {observation_shape} given; DQN takes flat vectors, (n,), and images, "
        f"(channels, height, width), of at least {SMALLEST['minatar']} pixels on each side"
    )


def fits(kind: str, observation_shape: tuple[int, ...]) -> bool:
    """Whether a network of this kind can take such observations."""
    if kind == "mlp":
        return len(observation_shape) == 1
    return len(observation_shape) == 3 and min(observation_shape[1:]) >= SMALLEST[kind]


def nature_encoder(channels: int, height: int, width: int) -> tuple[nn.Module, int]:
    """Return three convolutions, and the number of features that they give."""
    layers = nn.Sequential(
        nn.Conv2d(channels, 32, 8, stride=4),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
    )
    return layers, 64 * math.prod((((side - 8) // 4 + 1 - 4) // 2 + 1) - 2 for side in (height, width))


def minatar_encoder(channels: int, height: int, width: int) -> tuple[nn.Module, int]:
    """Return one convolution, and the number of features that it gives."""
    layers = nn.Sequential(nn.Conv2d(channels, 16, 3), nn.ReLU(inplace=True), nn.Flatten())
    return layers, 16 * (height - 2) * (width - 2)
