"""The memory for training a network for images, measured by a pass on tensors without values (torch's meta device)."""

from typing import Any

import torch
from torch import Tensor, nn

from ..size import COPIES, FLOAT
from .networks import make_network

AT_WORK = 3  # temporary copies of the largest tensor: gradients of an output and an input, and another memory order


def bytes_in_training(name: str, shape: tuple[int, int, int], classes: int, batch_size: int) -> int:
    """Return the memory of an update in float32: weights with gradients, moments and initial values, all values kept
    for the backward pass of a batch, and the temporary values at its peak."""
    with torch.device("meta"):
        module = make_network(name, shape, classes, seed=0)
        images = torch.empty(2, *shape)  # BatchNorm needs at least two examples
    weights = sum(parameter.numel() for parameter in module.parameters())
    kept, largest = kept_for_backward(module, images)
    return FLOAT * COPIES * weights + (kept + AT_WORK * largest) * batch_size // len(images)


def kept_for_backward(module: nn.Module, images: Tensor) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps for the backward pass without parameters, and the largest tensor's."""
    own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    seen: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage  # kept alive, so that its address is not used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = module(images)
    sizes = [storage.nbytes() for storage in seen.values()]
    del outputs
    return sum(sizes), max(sizes)
