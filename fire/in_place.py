"""Check that a user's own method changes a network in place only, by comparing the network before and after a call.

Optimizers, targets, companions and captured graphs keep references to tensors: the values of a tensor may change, but
the tensor must not be replaced by another.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .finite import first_not_finite
from .network import MethodNetwork

Place = tuple[int, int, tuple[int, ...], torch.dtype, bool]


def tensors_of(network: MethodNetwork) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that an event may write to, with a name that says where it belongs."""
    for owner, module in (("", network.module), ("target.", network.target)):
        if module is not None:
            yield from ((f"{owner}{name}", value) for name, value in module.named_parameters())
            yield from ((f"{owner}{name}", value) for name, value in module.named_buffers())
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    state: Mapping[Any, Any] = getattr(network.optimizer, "state", {})
    for parameter, values in state.items():
        if id(parameter) in names:
            held = {key: value for key, value in values.items() if isinstance(value, Tensor)}
            yield from ((f"the optimizer's {key} of {names[id(parameter)]}", value) for key, value in held.items())
    for companion in network.companions:
        yield from ((f"companion {companion.name}", value) for value in companion.parameters)


class Before:
    """What is remembered of a network before a method is called, for comparison afterwards."""

    def __init__(self, network: MethodNetwork) -> None:
        self.network = network
        self.places = {name: _place(value) for name, value in tensors_of(network)}
        self.initial = {name: value.clone() for name, value in network.initial.items() if isinstance(value, Tensor)}
        self.modes = {name: module.training for name, module in network.module.named_modules()}
        held = [(name, value) for name, value in network.memory.items() if isinstance(value, Tensor)]
        self.memory = {name: (value.shape, value.dtype) for name, value in held}
        self.hooks = _hooks(network.module)
        self.stepped = _stepped(network)

    def fault(self) -> str | None:
        """Return what the method did that is not allowed, as the end of a sentence; None if it did nothing wrong."""
        now = dict(tensors_of(self.network))
        for name in (*self.places, *now):
            if name not in now:
                return f"removed {name}: write in place, as value.copy_(new) or value.zero_()"
            if name not in self.places:
                return f"added {name}: a change of the structure belongs in restructure()"
            if fault := _difference(self.places[name], _place(now[name])):
                return f"replaced {name}, {fault}: write in place, as parameter.copy_(new) under torch.no_grad()"
        if found := first_not_finite(now.items()):
            return f"wrote {found[1]} into {found[0]}"
        for name, value in self.initial.items():
            if name not in self.network.initial or not torch.equal(self.network.initial[name], value):
                return f"wrote to network.initial[{name!r}], the run's first values: work on a clone()"
        for name, module in self.network.module.named_modules():
            if module.training != self.modes.get(name, module.training):
                return f"left {name or 'the module'} in {'training' if module.training else 'evaluation'} mode"
        for name, count in _hooks(self.network.module).items():
            if count > self.hooks.get(name, count):
                return f"left a hook on {name or 'the module'}: remove it in the same call, by handle.remove()"
        if _stepped(self.network) != self.stepped:
            return "changed which parameters the optimizer updates: change their values only"
        return self._memory_fault()

    def _memory_fault(self) -> str | None:
        memory = self.network.memory
        for name, value in memory.items():
            if not isinstance(value, Tensor):
                return f"put a {type(value).__name__} into network.memory[{name!r}]: only tensors are allowed there"
            if name not in self.memory:
                return f"put {name!r} into network.memory: create it in begin(), so that a resumed run has it too"
            if self.memory[name] != (value.shape, value.dtype):
                return f"gave network.memory[{name!r}] another shape or type than in begin()"
        if gone := sorted(self.memory.keys() - memory.keys()):
            return f"removed {gone[0]!r} from network.memory, but a resumed run expects it there"
        return None


def _hooks(module: nn.Module) -> dict[str, int]:
    """Return the number of hooks on each submodule, by its name."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {name: sum(len(getattr(part, kind, ())) for kind in kinds) for name, part in module.named_modules()}


def _stepped(network: MethodNetwork) -> list[list[int]]:
    groups: list[dict[str, Any]] = getattr(network.optimizer, "param_groups", [])
    return [[id(parameter) for parameter in group["params"]] for group in groups]


def values_of(network: MethodNetwork) -> dict[str, Tensor]:
    """Return a copy of every tensor of the network, and of the method's memory."""
    memory = {f"memory {name}": value for name, value in network.memory.items() if isinstance(value, Tensor)}
    return {name: value.detach().clone() for name, value in (*tensors_of(network), *memory.items())}


def same_values(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether values are equal: bit by bit on a CPU, approximately on a GPU, whose order of summation varies."""
    return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_cuda and one.is_floating_point():
        return torch.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)
    return torch.equal(one, other)


def _place(value: Tensor) -> Place:
    kept = id(value) if isinstance(value, nn.Parameter) else 0
    return kept, value.data_ptr(), tuple(value.shape), value.dtype, value.requires_grad


def _difference(then: Place, now: Place) -> str | None:
    if then[2] != now[2]:
        return f"of shape {then[2]}, by one of shape {now[2]}"
    if then[3] != now[3]:
        return f"of type {then[3]}, by one of type {now[3]}"
    if then[:2] != now[:2]:
        return "by another tensor"
    return "by one that is trained" if not then[4] and now[4] else "by one that is frozen" if then != now else None
