"""Make the learner of images: the network, initialised by a seed, and its optimizer."""

from collections.abc import Callable
from functools import partial

import torch

from ..learning import TrainedNetwork
from ..muon import muon_and_adam
from ..optimizers import adam
from ..supervised import Supervised
from .networks import channels_innermost, make_network, network_kind
from .settings import ClassifierSettings

PUBLISHED_WITH = {"cifar10": "resnet18", "cifar100": "vit-tiny", "tinyimagenet": "vgg16"}


def network_for(data: str) -> str:
    """Return the network that was published with a data set; for other data sets the small one."""
    return PUBLISHED_WITH.get(data, "small")


def make_classifier(
    network: str,
    shape: tuple[int, int, int],
    classes: int,
    settings: ClassifierSettings,
    seed: int,
    device: torch.device,
) -> Supervised:
    """Return the learner; raise ValueError if the network cannot take such images."""
    kind, module = network_kind(network), make_network(network, shape, classes, seed).to(device)
    if channels_innermost(network, device):
        # Before the optimizer is made: torch's fused Adam walks weights, gradients and moments in memory order.
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    betas, epsilon = (settings.beta1, settings.beta2), settings.adam_epsilon
    first, later = settings.optimizers
    optimizer: torch.optim.Optimizer
    begin_phase: Callable[[], None] | None = None
    if "muon" in (first, later):
        optimizer = muon = muon_and_adam(module, kind.encoder, adam_learning_rate=settings.learning_rate)
        begin: dict[str, Callable[[], None]] = {"adam": partial(muon.adam_alone, betas, epsilon), "muon": muon.as_made}
        begin[first]()
        begin_phase = begin[later]
    else:
        optimizer = adam(list(module.parameters()), settings.learning_rate, betas, epsilon)
    trained = TrainedNetwork("classifier", module, optimizer, encoder=kind.encoder, head=kind.head)
    return Supervised(trained, device, settings.largest_norm, begin_phase=begin_phase)
