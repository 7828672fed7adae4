"""What a learner receives: K batches of B transitions, or which ones they are."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Tensors of leading shape (K, B); `terminated` is 1.0 where the episode truly ended, 0.0 at truncation.

    `steps` counts the decisions from observations to next_observations, whose discounted rewards `rewards` adds up:
    1, or up to n with n-step returns, so that the next value's factor is gamma ** steps * (1 - terminated).
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    steps: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Drawn(NamedTuple):
    """K batches that are drawn but not read yet: reading them is part of what a learner may record as a graph."""

    places: Tensor  # (K, anything), whole numbers on the replay's device
    gather: Callable[[Tensor], Batch]  # reads some rows of `places`, without waiting for anything
    held: tuple[Tensor, ...]  # the tensors that `gather` reads


def on_device(places: Tensor, device: torch.device) -> Tensor:
    """Whole numbers drawn on the host, on their way to the device without anyone waiting for them."""
    return places.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else places
