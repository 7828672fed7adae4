"""The memory of a vision network in training, by arithmetic, compared with what a pass really keeps."""

import pytest
import torch
from torch import Tensor

from fire_rl.agents.vision import NETWORKS, bytes_in_training, make_network

SHAPE, CLASSES = (3, 32, 32), 5


def kept(name: str, count: int) -> int:
    """Return the bytes, without weights, that a real pass keeps for its backward pass, each tensor counted once."""
    module = make_network(name, SHAPE, CLASSES, seed=0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = module(torch.randn(count, *SHAPE))
    assert outputs.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in found.items() if place not in weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bytes_are_those_of_the_weights_and_of_what_a_pass_keeps(name: str):
    weights = sum(parameter.numel() for parameter in make_network(name, SHAPE, CLASSES, seed=0).parameters())
    activations = bytes_in_training(name, SHAPE, CLASSES, 8) - 20 * weights
    assert kept(name, 8) < activations < 2.5 * kept(name, 8)


def test_any_batch_can_be_asked_for():
    assert bytes_in_training("resnet18", (3, 32, 32), 10, 10**9) > 10**15
