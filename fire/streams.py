"""Random generators of methods, and a check which generators a user's own method draws from.

Only the state of `network.generator` is saved with a run.
"""

import hashlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .methods import Method
from .network import Network
from .undisturbed import global_streams


def stream_of(method: Method, network: Network, seed: int) -> torch.Generator:
    """Return a method's generator for a network.

    It is on the CPU, so that all devices get the same draws; for a method whose steps a GPU can capture, on the GPU.
    """
    recorded = method.acts_every_step and method.capturable
    device = next(network.module.parameters()).device if recorded else torch.device("cpu")
    return torch.Generator(device).manual_seed(seed)


def has_moved(generator: torch.Generator) -> bool:
    """Whether something was drawn from the generator since it was seeded."""
    new = torch.Generator(generator.device).manual_seed(generator.initial_seed())
    return not torch.equal(generator.get_state(), new.get_state())


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Restore a generator's saved state; a state from another kind of device seeds the generator by its bytes."""
    if state.numel() == generator.get_state().numel():
        generator.set_state(state.cpu())
    else:
        digest = hashlib.sha256(state.cpu().numpy().tobytes()).digest()
        generator.manual_seed(int.from_bytes(digest[:8], "little"))


def moved(before: Mapping[str, Any]) -> str | None:
    """Return the name of the first global generator that was used since the states were taken; None if none was."""
    now = global_streams()
    return next((name for name, state in before.items() if not _same(state, now[name])), None)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool((one == other).all()) if hasattr(one, "all") else bool(one == other)


class Draws(TorchFunctionMode):
    """Note whether a torch generator other than the given ones is used; `noting` covers those of other libraries."""

    def __init__(self, given: set[int]) -> None:
        super().__init__()
        self._given, self.foreign = given, False

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        for value in (*arguments, *(named or {}).values()):
            if isinstance(value, torch.Generator) and id(value) not in self._given:
                self.foreign = True
        return function(*arguments, **(named or {}))


class _InPlaceOf(type):
    """Let a class stand in for another: it is the metaclass of the stand-in.

    Calling the stand-in makes objects of the other class by `make`, and isinstance accepts these. Subclasses of the
    stand-in behave as usual.
    """

    kind: type
    make: Callable[..., Any]

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return (cls.make if "make" in vars(cls) else super().__call__)(*arguments, **named)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.kind) if "kind" in vars(cls) else super().__instancecheck__(value)


@contextmanager
def noting(given: set[int]) -> Iterator[Draws]:
    """Note within the block whether generators other than these (given by `id`) are used or created."""
    draws = Draws(given)

    def noted(make: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            draws.foreign = True
            return make(*arguments, **named)

        return call

    def noted_class(kind: type) -> type:
        return _InPlaceOf(kind.__name__, (kind,), {"kind": kind, "make": staticmethod(noted(kind))})

    with ExitStack() as stack:
        stack.enter_context(draws)
        stack.enter_context(patch.object(random, "Random", noted_class(random.Random)))
        if (numpy := sys.modules.get("numpy")) is not None:
            stack.enter_context(patch.object(numpy.random, "default_rng", noted(numpy.random.default_rng)))
            for name in ("Generator", "RandomState"):
                stack.enter_context(patch.object(numpy.random, name, noted_class(getattr(numpy.random, name))))
        yield draws
