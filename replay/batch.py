"""What a learner receives from a replay: K batches of B transitions, or the indices of such batches."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Tensors of leading shape (K, B); `terminated` is 1.0 where the episode truly ended, 0.0 at truncation.

    `steps` is the number of decisions between `observations` and `next_observations`: 1, or up to n with n-step
    returns. `rewards` is the discounted sum of their rewards. The value of the next observation therefore has the
    factor gamma ** steps * (1 - terminated).
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    steps: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(*(on_device(tensor, device) for tensor in self))


class Drawn(NamedTuple):
    """K batches that are drawn but not read yet, so that a learner can record the reading in a CUDA graph."""

    places: Tensor  # (K, any size), integers on the replay's device: where the transitions lie
    gather: Callable[[Tensor], Batch]  # reads some rows of `places`; never makes the host wait for the device
    held: tuple[Tensor, ...]  # the tensors that `gather` reads


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on the device; the host does not wait for a copy to a GPU."""
    return pinned(tensor, device).to(device, non_blocking=device.type != "cpu")


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor from which a copy to the device does not make the host wait: for a GPU, in pinned memory."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor
    # `Tensor.pin_memory` refuses expanded tensors.
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)


def different(count: int, updates: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Draw (K, B) different numbers below `count`."""
    if updates * batch_size > count:
        raise ValueError(f"{updates} x {batch_size} different transitions asked for; there are only {count}")
    return torch.randperm(count, generator=generator)[: updates * batch_size].view(updates, batch_size)
