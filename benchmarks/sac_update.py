"""How close SAC's update comes to the least time its own arithmetic needs on this machine.

    python -m benchmarks.sac_update [--threads 2] [--width 512]

The floor is every matrix product of one update, each at the best rate measured for its shape in this run, plus the
bytes that optimizers and target must move, over the bandwidth measured in this run. Ratio = floor time / update time.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents import SAC, SACSettings
from replay import Batch
from training.memory import keep_large_blocks

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
Shape = tuple[int, int, int, int]  # members, rows, inner, columns


@dataclass(frozen=True)
class Options:
    """Sizes are those of h1-walk in the published setting."""

    threads: int = 2
    """CPU threads."""
    width: int = 512
    """Width of the critic; the actor's is a quarter."""
    batch_size: int = 256
    """Transitions per update."""
    rounds: int = 8
    """Alternating rounds of updates and products; the best of each counts."""
    device: str = "cpu"
    """cpu or cuda."""


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


def best(calls: Iterable[Callable[[], Any]], device: torch.device, repeats: int = 3) -> float:
    """Seconds of the fastest of several ways to do the same thing."""
    return min(seconds(call, device) for call in calls for _ in range(repeats))


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_ways(shape: Shape, device: torch.device) -> list[Callable[[], Any]]:
    """A product of this shape into memory already there, with each operand stored either way round."""
    members, rows, inner, columns = shape
    out = torch.empty(members, rows, columns, device=device)
    lefts = (torch.randn(members, rows, inner, device=device), torch.randn(members, inner, rows, device=device).mT)
    rights = (
        torch.randn(members, inner, columns, device=device),
        torch.randn(members, columns, inner, device=device).mT,
    )
    return [partial(torch.bmm, left, right, out=out) for left in lefts for right in rights]


def flat_batch(lead: tuple[int, ...], device: torch.device) -> Batch:
    """Transitions of h1-walk's sizes."""
    return Batch(
        torch.randn(*lead, 51, device=device),
        torch.rand(*lead, 19, device=device) * 2 - 1,
        torch.rand(lead, device=device),
        torch.randn(*lead, 51, device=device),
        torch.zeros(lead, device=device),
        torch.ones(lead, device=device),
    )


def main(options: Options) -> None:
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    settings = SACSettings(critic_width=options.width, actor_width=options.width // 4, batch_size=options.batch_size)
    agent = SAC(51, 19, settings, seed=np.random.SeedSequence(0), device=device)
    batches = flat_batch((2, options.batch_size), device)
    agent.update(batches)
    with RecordProducts() as record:
        agent.update(Batch(*(tensor[:1] for tensor in batches)))
    critic = sum(parameter.numel() for parameter in agent.critic.parameters())
    actor = sum(parameter.numel() for parameter in agent.actor.parameters())
    moved = 4 * (7 * (critic + actor) + 3 * critic)  # AdamW reads 4 and writes 3 tensors, the target reads 2, writes 1
    a, b, c = (torch.zeros(16_000_000, device=device) for _ in range(3))

    update, bandwidth = float("inf"), 0.0
    products = dict.fromkeys(record.shapes, float("inf"))
    ways = {shape: product_ways(shape, device) for shape in products}
    for _ in range(options.rounds):
        update = min(update, seconds(lambda: agent.update(batches), device) / 2)
        bandwidth = max(bandwidth, 3 * a.nbytes / best([lambda: torch.add(a, b, out=c)], device))
        for shape in products:
            products[shape] = min(products[shape], best(ways[shape], device))

    print(f"SAC update, critic {options.width}, batch {options.batch_size}, {options.threads} threads, {device}")
    print(f"{'product (members x rows x inner x columns)':44s} {'times':>5s} {'GFLOP':>7s} {'GFLOP/s':>8s} {'ms':>7s}")
    arithmetic = flops = 0.0
    for shape, count in sorted(record.shapes.items(), key=lambda item: -products[item[0]] * item[1]):
        size = 2 * float(np.prod(shape))
        arithmetic, flops = arithmetic + count * products[shape], flops + count * size
        if count * products[shape] > 0.01 * arithmetic:
            text = " x ".join(map(str, shape))
            rate, milliseconds = size / products[shape] / 1e9, 1e3 * count * products[shape]
            print(f"{text:44s} {count:5d} {count * size / 1e9:7.2f} {rate:8.1f} {milliseconds:7.2f}")
    traffic = moved / bandwidth
    floor = arithmetic + traffic
    print(f"products     {1e3 * arithmetic:8.1f} ms  ({flops / 1e9:.1f} GFLOP, {flops / arithmetic / 1e9:.0f} GFLOP/s)")
    print(f"bytes moved  {1e3 * traffic:8.1f} ms  ({moved / 1e6:.0f} MB at {bandwidth / 1e9:.1f} GB/s)")
    print(f"floor        {1e3 * floor:8.1f} ms  ({1 / floor:.2f} updates/s)")
    print(f"update       {1e3 * update:8.1f} ms  ({1 / update:.2f} updates/s)")
    print(f"ratio        {floor / update:8.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
