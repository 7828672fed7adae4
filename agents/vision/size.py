"""How much memory training a network for images takes, from a pass on tensors without values: nothing large is made."""

from typing import Any

import torch
from torch import Tensor, nn

from ..size import COPIES, FLOAT
from .networks import make_network

AT_WORK = 3  # the largest tensor of a pass: as gradients of an output and of an input, and in another order of memory


def bytes_in_training(name: str, shape: tuple[int, int, int], classes: int, batch_size: int) -> int:
    """Of an update in float32: weights with gradients, moments and initial values, what is kept for the pass backward
    of so many images, and what is at work at its largest moment."""
    with torch.device("meta"):
        module = make_network(name, shape, classes, seed=0)
        images = torch.empty(2, *shape)  # BatchNorm normalises two and more
    weights = sum(parameter.numel() for parameter in module.parameters())
    kept, largest = kept_for_backward(module, images)
    return FLOAT * COPIES * weights + (kept + AT_WORK * largest) * batch_size // len(images)


def kept_for_backward(module: nn.Module, images: Tensor) -> tuple[int, int]:
    """Bytes that a pass keeps for the one backward, parameters apart, and those of the largest tensor among them."""
    own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    seen: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage  # held, so that no other one takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = module(images)
    sizes = [storage.nbytes() for storage in seen.values()]
    del outputs
    return sum(sizes), max(sizes)
