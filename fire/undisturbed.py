"""Run a module without lasting side effects."""

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


def global_streams() -> dict[str, Any]:
    """Return the states of the global generators that all code of a process shares, by names for messages."""
    states: dict[str, Any] = {"torch's global random stream": torch.random.get_rng_state()}
    if torch.cuda.is_initialized():
        states["the GPU's global random stream"] = torch.cuda.get_rng_state()
    if (numpy := sys.modules.get("numpy")) is not None:
        states["numpy's global random stream (np.random)"] = numpy.random.get_state()
    return states | {"Python's global random stream (random)": random.getstate()}


def restore_streams(states: Mapping[str, Any]) -> None:
    """Restore the states that `global_streams` returned."""
    restore: dict[str, Callable[[Any], None]] = {"torch's": torch.random.set_rng_state, "Python's": random.setstate}
    restore |= {"numpy's": lambda state: sys.modules["numpy"].random.set_state(state)}
    restore |= {"the": torch.cuda.set_rng_state}
    for name, state in states.items():
        restore[name.split()[0]](state)


@contextmanager
def streams_kept(module: nn.Module) -> Iterator[None]:
    """Run the block; then restore the global random generators of torch, of the module's GPUs, of numpy and Python."""
    states = global_streams()
    with torch.random.fork_rng(list({parameter.device for parameter in module.parameters() if parameter.is_cuda})):
        try:
            yield
        finally:
            restore_streams(states)


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
