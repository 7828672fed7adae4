"""The networks for images, by name: (batch, channels, height, width) -> (batch, classes).

Each is an encoder followed by a head, with torch's default initial values unless its file says otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from fire_rl.fire.nearest import choices

from .convolutions import small, vgg16
from .residual import resnet18
from .transformer import vit_tiny


@dataclass(frozen=True)
class NetworkKind:
    """The description of a kind of network."""

    build: Callable[[tuple[int, int, int], int], nn.Module]
    """Builds a network from the images' (channels, height, width) and the number of classes. It draws from torch's
    global random generator, and raises ValueError for images that the network cannot take."""
    meaning: str
    head: tuple[str, ...] = ("head",)
    """Names of the modules that hold the output layer, for `fire_rl.Network`."""
    encoder: tuple[str, ...] = ("encoder",)
    projected: tuple[str, ...] = ()
    """Patterns of what FIRE projects as published, for the field `include` of `fire_rl.Fire`; empty: every matrix."""
    innermost_on_cpu: bool = False
    """Whether the network is faster on a CPU with channels innermost in memory; on a GPU every network is."""


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
    """Return the network of a name; raise ValueError, with the nearest name, if it is unknown."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} given; allowed are {choices(name, NETWORKS)}")
    return NETWORKS[name]


def channels_innermost(name: str, device: torch.device) -> bool:
    """Whether images and weights of this network have channels innermost in memory on the device."""
    return device.type == "cuda" or network_kind(name).innermost_on_cpu


def make_network(name: str, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """Return a network of the named kind on the CPU, so that every device starts from the same weights.

    Its initial values depend on the seed only; torch's global random generator is left as it was.
    """
    kind = network_kind(name)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"images of shape {shape} given; allowed is (channels, height, width), each 1 or more")
    if classes < 2:
        raise ValueError(f"{classes} classes given; allowed are 2 or more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.build(shape, classes)
