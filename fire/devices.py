"""Arithmetic with tensors on several devices, and in float64, which Apple's GPUs do not have."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

MOST_JOINED = 2**28  # bytes of tensors that are treated as one


def device_with_float64(tensor: Tensor) -> torch.device:
    """Return the tensor's device, or the CPU for Apple's GPUs."""
    return torch.device("cpu") if tensor.device.type == "mps" else tensor.device


def double(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, on the same device, or on the CPU for Apple's GPUs."""
    return tensor.to(device_with_float64(tensor)).double()


def joins(tensor: Tensor) -> bool:
    """Whether several such tensors are better treated as one: on a GPU, where every operation takes time to begin.

    On a CPU nothing is gained, and each result depends on its own tensor only, bit by bit.
    """
    return tensor.device.type != "cpu"


def is_full(tensors: Iterable[Tensor]) -> bool:
    """Whether no further tensor should be joined with these: they do not join, or would take too much memory."""
    tensors = list(tensors)
    return not joins(tensors[0]) or sum(each.nbytes for each in tensors) >= MOST_JOINED


def stacked(values: Iterable[Tensor]) -> Tensor:
    """Return the values, such as the norms of layers, as one tensor on the device of the first one."""
    first, *others = values
    return torch.stack([first, *(value.to(first.device) for value in others)])


def multiply_(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiply the tensors by one number, in place, with one operation for each device."""
    for device in dict.fromkeys(tensor.device for tensor in tensors):
        torch._foreach_mul_([tensor for tensor in tensors if tensor.device == device], factor.to(device))
