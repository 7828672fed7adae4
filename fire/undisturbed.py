"""Running a module and leaving it as it was."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def undisturbed(module: nn.Module, *others: nn.Module | None) -> Iterator[None]:
    """Gradients on, mixed precision off; random streams, and buffers of the others too, are the same afterwards."""
    modules = [module, *(other for other in others if other is not None)]
    before = [(buffer, buffer.clone()) for each in modules for buffer in each.buffers()]
    devices = {parameter.device for parameter in module.parameters() if parameter.is_cuda}
    try:
        kinds = {parameter.device.type for parameter in module.parameters()}
        with torch.random.fork_rng(list(devices)), torch.enable_grad(), ExitStack() as precise:
            for kind in kinds:  # what is measured does not depend on what surrounds the call
                precise.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@contextmanager
def modes_restored(module: nn.Module) -> Iterator[None]:
    """What is put into training or evaluation mode within is as it was afterwards."""
    modes = {child: child.training for child in module.modules()}
    try:
        yield
    finally:
        for child, mode in modes.items():
            child.training = mode
