"""The networks that images are learned with, by name: (batch, channels, height, width) -> (batch, classes).

Each is an encoder and a head that follow one another, with torch's default initial values but where its file says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from fire_rl.fire.nearest import nearest

from .convolutions import small, vgg16
from .residual import resnet18
from .transformer import vit_tiny


@dataclass(frozen=True)
class NetworkKind:
    """A network as it is described before one is built."""

    build: Callable[[tuple[int, int, int], int], nn.Module]
    """Of images' (channels, height, width) and the classes; draws from torch's global random stream, and raises
    ValueError, in one line, for images that it cannot take."""
    meaning: str
    head: tuple[str, ...] = ("head",)
    """Names of the modules that hold the output layer, for `fire_rl.Network`."""
    encoder: tuple[str, ...] = ("encoder",)
    projected: tuple[str, ...] = ()
    """Names of what published FIRE projects, as the field `include` of `fire_rl.Fire` has them; none: every matrix."""
    innermost_on_cpu: bool = False
    """Whether a CPU takes less time over it with channels innermost in memory; a GPU does over every network."""


NETWORKS: Mapping[str, NetworkKind] = {
    "resnet18": NetworkKind(
        resnet18,
        "ResNet-18 for small images, published with CIFAR-10: 11.4 million weights",
        innermost_on_cpu=True,
    ),
    "vit-tiny": NetworkKind(
        vit_tiny,
        "a vision transformer on patches of 4x4, published with CIFAR-100: 5.4 million weights",
        projected=("*.query", "*.key"),
    ),
    "vgg16": NetworkKind(vgg16, "VGG-16 with BatchNorm, published with TinyImageNet: 18 million weights at 64x64"),
    "small": NetworkKind(small, "three convolutions and a hidden layer, for any images: 0.16 million weights at 28x28"),
}


def network_kind(name: str) -> NetworkKind:
    """The network of a name; ValueError, with the nearest, where there is none."""
    if name not in NETWORKS:
        raise ValueError(
            f"network {name!r} given; allowed are {', '.join(NETWORKS)}; nearest is {nearest(name, list(NETWORKS))}"
        )
    return NETWORKS[name]


def channels_innermost(name: str, device: torch.device) -> bool:
    """Whether images and weights of this network have their channels innermost in memory on the device."""
    return device.type == "cuda" or network_kind(name).innermost_on_cpu


def make_network(name: str, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """A network of the named kind, on the CPU, so that every device starts from the same weights.

    Its initial values follow from the seed alone; torch's global random stream is where it was.
    """
    kind = network_kind(name)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"images of shape {shape} given; allowed is (channels, height, width), each 1 or more")
    if classes < 2:
        raise ValueError(f"{classes} classes given; allowed are 2 and more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.build(shape, classes)
