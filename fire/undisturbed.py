"""Run a module without lasting side effects."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import nn


def streams_kept(module: nn.Module) -> AbstractContextManager[None]:
    """Return a context after which the global random generators of the CPU and of the module's GPUs are as before."""
    return torch.random.fork_rng(list({parameter.device for parameter in module.parameters() if parameter.is_cuda}))


@contextmanager
def undisturbed(module: nn.Module, *others: nn.Module | None) -> Iterator[None]:
    """Run the block with gradients and without mixed precision; then restore random generators and all buffers."""
    with buffers_kept(module, *others), streams_kept(module), torch.enable_grad(), without_autocast(module):
        yield


@contextmanager
def without_autocast(module: nn.Module) -> Iterator[None]:
    """Run the block without mixed precision, so that its results do not depend on autocast around the call."""
    with ExitStack() as stack:
        for kind in {parameter.device.type for parameter in module.parameters()}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def buffers_kept(*modules: nn.Module | None) -> Iterator[None]:
    """Run the block; then restore all buffers, also those that were replaced by new tensors."""
    before = [
        (part, name, buffer, buffer.clone())
        for module in modules
        for part in (module.modules() if module is not None else ())
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, value in before:
                part._buffers[name] = buffer.copy_(value)


@contextmanager
def modes_restored(module: nn.Module) -> Iterator[None]:
    """Restore the training or evaluation mode of all submodules after the block."""
    modes = {child: child.training for child in module.modules()}
    try:
        yield
    finally:
        for child, mode in modes.items():
            child.training = mode
