"""The least time that an update's own work needs: its products at the best rate measured, its bytes likewise."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fire_rl.agents import SAC
from fire_rl.agents.captured import Precision, products_in

from .timing import Call, Clock, best_on_device

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
Shape = tuple[int, int, int, int]  # members, rows, inner, columns
ELEMENTS = 16_000_000  # of the tensors by which the bandwidth is measured


class RecordProducts(TorchDispatchMode):
    """Counts the matrix products that run inside, by shape."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            left, right = [argument for argument in args if isinstance(argument, Tensor)][-2:]
            members = left.shape[0] if left.dim() == 3 else 1
            self.shapes[members, left.shape[-2], left.shape[-1], right.shape[-1]] += 1
        return func(*args, **(kwargs or {}))


def product_ways(shape: Shape, device: torch.device, dtype: torch.dtype = torch.float32) -> list[Call]:
    """A product of this shape into memory already there, with each operand stored either way round."""
    members, rows, inner, columns = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(size, device=device).to(dtype)

    out = torch.empty(members, rows, columns, device=device, dtype=dtype)
    lefts = (normal(members, rows, inner), normal(members, inner, rows).mT)
    rights = (normal(members, inner, columns), normal(members, columns, inner).mT)
    return [partial(torch.bmm, left, right, out=out) for left in lefts for right in rights]


class Work:
    """What an update does so many times, in one of several ways: the best time seen of each kind of way."""

    def __init__(self, name: str, count: int, flops: float, ways: Mapping[str, Sequence[Call]]) -> None:
        self.name, self.count, self.flops = name, count, flops
        self.ways = {kind: calls for kind, calls in ways.items() if calls}
        self.seconds = dict.fromkeys(self.ways, float("inf"))

    def measure(self, device: torch.device, clock: Clock = time.perf_counter) -> None:
        for kind, calls in self.ways.items():
            self.seconds[kind] = min(self.seconds[kind], best_on_device(calls, device, clock=clock))

    def all(self, kinds: Iterable[str]) -> float:
        """Seconds of all times, by the fastest of these kinds of way."""
        return self.count * min(self.seconds[kind] for kind in kinds if kind in self.seconds)


class Floor:
    """All work of one update, and the bytes that it must move."""

    def __init__(self, work: Sequence[Work], moved: float, device: torch.device) -> None:
        self.work, self.moved, self.device, self.bandwidth = work, moved, device, 0.0
        self._operands = [torch.zeros(ELEMENTS, device=device) for _ in range(3)]

    def measure(self, precision: Precision = "float32", clock: Clock = time.perf_counter) -> None:
        """One round; of several the best times count."""
        one, other, out = self._operands
        taken = best_on_device([lambda: torch.add(one, other, out=out)], self.device, clock=clock)
        self.bandwidth = max(self.bandwidth, 3 * one.nbytes / taken)
        with products_in(precision):
            for each in self.work:
                each.measure(self.device, clock)

    @property
    def flops(self) -> float:
        return sum(each.count * each.flops for each in self.work)

    @property
    def traffic(self) -> float:
        """Seconds of moving the bytes."""
        return self.moved / self.bandwidth

    def arithmetic(self, *kinds: str) -> float:
        """Seconds of all products, by these kinds of way or, where none is named, by whichever is fastest."""
        return sum(each.all(kinds or each.seconds) for each in self.work)

    @property
    def seconds(self) -> float:
        return self.arithmetic() + self.traffic


def sac_floor(agent: SAC, products: Mapping[Shape, int], dtype: torch.dtype = torch.float32) -> Floor:
    """Of an update of SAC with these products."""
    critic = sum(parameter.numel() for parameter in agent.critic.parameters())
    actor = sum(parameter.numel() for parameter in agent.actor.parameters())
    moved = 4 * (7 * (critic + actor) + 3 * critic)  # AdamW reads 4 and writes 3 tensors, the target reads 2, writes 1
    work = [
        Work(
            " x ".join(map(str, shape)),
            count,
            2.0 * shape[0] * shape[1] * shape[2] * shape[3],
            {"product": product_ways(shape, agent.device, dtype)},
        )
        for shape, count in products.items()
    ]
    return Floor(work, moved, agent.device)
