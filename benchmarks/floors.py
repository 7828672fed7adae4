"""The floor of an update: the time of its products at the best measured rate, and of its bytes at that bandwidth."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
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
ELEMENTS = 16_000_000  # of each tensor with which the bandwidth is measured


class RecordProducts(TorchDispatchMode):
    """Counts the matrix products that run within this context, by shape, and records how each is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()
        self.used: dict[Shape, str] = {}  # the name of the way, of `product_ways`

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            left, right = [argument for argument in args if isinstance(argument, Tensor)][-2:]
            members = left.shape[0] if left.dim() == 3 else 1
            shape = members, left.shape[-2], left.shape[-1], right.shape[-1]
            self.shapes[shape] += 1
            self.used[shape] = way_of(left, right)
        return func(*args, **(kwargs or {}))


def way_of(left: Tensor, right: Tensor) -> str:
    """Return the name of the way in which these operands are multiplied: n is stored by rows, t by columns."""
    return "product " + "".join("n" if operand.stride(-1) == 1 else "t" for operand in (left, right))


def product_ways(shape: Shape, device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, Call]:
    """Return ways to compute a product of this shape into existing memory, with operands stored by rows or columns."""
    members, rows, inner, columns = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(size, device=device).to(dtype)

    out = torch.empty(members, rows, columns, device=device, dtype=dtype)
    lefts = {"n": normal(members, rows, inner), "t": normal(members, inner, rows).mT}
    rights = {"n": normal(members, inner, columns), "t": normal(members, columns, inner).mT}
    return {
        f"product {one}{other}": partial(torch.bmm, left, right, out=out)
        for one, left in lefts.items()
        for other, right in rights.items()
    }


class Work:
    """An operation that an update does `count` times, and the best measured time of each way to compute it.

    The first word of a way's name is its kind. `used` is the way in which the update itself computes it.
    """

    def __init__(self, name: str, count: int, flops: float, ways: Mapping[str, Call], used: str = "") -> None:
        self.name, self.count, self.flops, self.ways, self.used = name, count, flops, ways, used
        self.seconds = dict.fromkeys(ways, float("inf"))

    def measure(self, device: torch.device, clock: Clock = time.perf_counter) -> None:
        """Time each way once more, and keep the best times."""
        for way, call in self.ways.items():
            self.seconds[way] = min(self.seconds[way], best_on_device([call], device, clock=clock))

    def best(self, kind: str = "") -> float:
        """Return the seconds of the fastest way of this kind, by default of all; infinite if there is none."""
        return min((value for way, value in self.seconds.items() if way.startswith(kind)), default=float("inf"))


class Floor:
    """All operations of one update, and the bytes that it must move."""

    def __init__(self, work: Sequence[Work], moved: float, device: torch.device) -> None:
        self.work, self.moved, self.device, self.bandwidth = work, moved, device, 0.0
        self._operands = [torch.zeros(ELEMENTS, device=device) for _ in range(3)]

    def measure(self, precision: Precision = "float32", clock: Clock = time.perf_counter) -> None:
        """Do one round of timing; the best times of all rounds are kept."""
        one, other, out = self._operands
        taken = best_on_device([lambda: torch.add(one, other, out=out)], self.device, clock=clock)
        self.bandwidth = max(self.bandwidth, 3 * one.nbytes / taken)
        with products_in(precision):
            for each in self.work:
                each.measure(self.device, clock)

    @property
    def flops(self) -> float:
        """The floating-point operations of one update."""
        return sum(each.count * each.flops for each in self.work)

    @property
    def traffic(self) -> float:
        """The seconds of moving the bytes."""
        return self.moved / self.bandwidth

    def arithmetic(self, kind: str = "") -> float:
        """Return the seconds of all operations, each in the fastest way of this kind, by default of all kinds."""
        return sum(each.count * each.best(kind) for each in self.work)

    def as_used(self) -> float:
        """Return the seconds of all operations, each in the way in which the update computes it."""
        return sum(each.count * each.seconds.get(each.used, each.best()) for each in self.work)

    @property
    def seconds(self) -> float:
        """The seconds of the floor."""
        return self.arithmetic() + self.traffic


def sac_floor(agent: SAC, record: RecordProducts, dtype: torch.dtype = torch.float32) -> Floor:
    """Return the floor of an update of SAC with the recorded products."""
    critic = sum(parameter.numel() for parameter in agent.critic.parameters())
    actor = sum(parameter.numel() for parameter in agent.actor.parameters())
    moved = 4 * (7 * (critic + actor) + 3 * critic)  # AdamW reads 4 and writes 3 tensors, the target reads 2, writes 1
    work = [
        Work(
            " x ".join(map(str, shape)),
            count,
            2.0 * shape[0] * shape[1] * shape[2] * shape[3],
            product_ways(shape, agent.device, dtype),
            record.used[shape],
        )
        for shape, count in record.shapes.items()
    ]
    return Floor(work, moved, agent.device)
