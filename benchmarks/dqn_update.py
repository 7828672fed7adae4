"""How close DQN's update comes to the least time its own arithmetic needs on this machine, and how others fare.

    python -m benchmarks.dqn_update [--threads 2] [--network nature]
    python -m benchmarks.dqn_update --loop      the whole loop on Breakout at one update per transition

The floor is every matrix product of one update at the best rate measured for its shape in this run, a convolution's as
the product it comes to (im2col) or as torch's own convolution, whichever is faster, plus the bytes that Adam must move
and the images that must be read, over the bandwidth measured in this run. Ratio = floor time / update time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents import DQN, DQNSettings
from replay import Batch, FrameReplay
from training.memory import keep_large_blocks

from .dqn_peers import INSTALL, EagerDQN, StableBaselines
from .sac_update import best, product_ways, seconds

ACTIONS = 4  # Breakout's
SHAPES = {"nature": (4, 84, 84), "minatar": (4, 10, 10)}
Ways = list[Callable[[], Any]]


@dataclass(frozen=True)
class Options:
    """Sizes are the published ones, with Breakout's four actions."""

    threads: int = 2
    """CPU threads."""
    network: Literal["nature", "minatar"] = "nature"
    """Which network; the peers run with nature only."""
    batch_size: int = 32
    """Transitions per update."""
    double: bool = False
    """Double Q-learning: one forward pass more."""
    updates: int = 4
    """Updates of one call, as 4 environments owe them at replay ratio 1."""
    rounds: int = 12
    """Alternating rounds of updates, products and peers; the best of each counts."""
    device: str = "cpu"
    """cpu or cuda."""
    loop: bool = False
    """Time whole loops on Breakout instead."""
    loop_steps: int = 1_200
    """Environment steps of each round of a whole loop, after 400 without learning."""
    loop_rounds: int = 3
    """Alternating rounds of whole loops; the median counts."""


@dataclass(frozen=True)
class Product:
    """A matrix product of one update; a convolution's has the shapes of its images and weights beside it."""

    name: str
    rows: int
    inner: int
    columns: int
    images: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    stride: int = 1
    padding: int = 0

    @property
    def flops(self) -> float:
        return 2.0 * self.rows * self.inner * self.columns


class RecordProducts(TorchDispatchMode):
    """Counts the matrix products that run inside, those of convolutions too."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        result = func(*args, **(kwargs or {}))
        if name in ("mm", "addmm"):
            left, right = [argument for argument in args if isinstance(argument, Tensor)][-2:]
            self.products[Product("linear", left.shape[0], left.shape[1], right.shape[1])] += 1
        elif name == "convolution":
            images, weights, _, stride, padding = args[:5]
            self._count(("forward",), result.shape, images.shape, weights.shape, stride[0], padding[0])
        elif name == "convolution_backward":
            gradient, images, weights, _, stride, padding = args[:6]
            names = [name for name, wanted in zip(("inputs", "weights"), args[-1], strict=False) if wanted]
            self._count(names, gradient.shape, images.shape, weights.shape, stride[0], padding[0])
        return result

    def _count(self, names: Any, outputs: Any, images: Any, weights: Any, stride: int, padding: int) -> None:
        rows, inner, columns = outputs.numel() // outputs[1], weights[1:].numel(), weights[0]
        shapes = {
            "forward": (rows, inner, columns),
            "inputs": (rows, columns, inner),
            "weights": (columns, rows, inner),
        }
        for name in names:
            self.products[Product(name, *shapes[name], tuple(images), tuple(weights), stride, padding)] += 1


def convolution_ways(product: Product, device: torch.device) -> Ways:
    """The product as torch's own convolution, or as a part of its gradient, in both orders of memory."""
    if not product.images:
        return []
    ways: Ways = []
    padding = [product.padding] * 2
    for order in (torch.contiguous_format, torch.channels_last):
        images = torch.randn(product.images, device=device).contiguous(memory_format=order)
        weights = torch.randn(product.weights, device=device).contiguous(memory_format=order)
        stride = [product.stride] * 2
        if product.name == "forward":
            ways.append(partial(torch.conv2d, images, weights, None, stride, padding))
            continue
        gradient = torch.randn_like(torch.conv2d(images, weights, None, stride, padding))
        wanted = [product.name == "inputs", product.name == "weights", False]
        rest = (None, stride, padding, [1, 1], False, [0, 0], 1, wanted)
        ways.append(partial(torch.ops.aten.convolution_backward, gradient, images, weights, *rest))
    return ways


def make_batches(options: Options, device: torch.device) -> Batch:
    lead, shape = (options.updates, options.batch_size), SHAPES[options.network]
    return Batch(
        torch.randint(256, (*lead, *shape), dtype=torch.uint8, device=device),
        torch.randint(ACTIONS, lead, device=device),
        torch.randn(lead, device=device).sign(),
        torch.randint(256, (*lead, *shape), dtype=torch.uint8, device=device),
        torch.zeros(lead, device=device),
        torch.ones(lead, device=device),
    )


def filled_replay(options: Options, device: torch.device) -> FrameReplay:
    """5,000 transitions of 4 environments whose episodes are 100 steps long."""
    channels, *size = SHAPES[options.network]
    random = np.random.default_rng(0)
    replay = FrameReplay(5_000, 4, (1, *size), stack=channels, device=device)
    stacks = random.integers(256, size=(2, 4, channels, *size), dtype=np.uint8)
    for step in range(1_250):
        ended = np.full(4, step % 100 == 99)
        actions, rewards = random.integers(ACTIONS, size=4), np.sign(random.normal(size=4)).astype(np.float32)
        replay.add(stacks[step % 2], actions, rewards, stacks[1 - step % 2], ended, np.zeros(4, bool))
    return replay


def main(options: Options) -> None:
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    if options.loop:
        from .dqn_loop import time_loops

        time_loops(options.threads, options.loop_steps, options.loop_rounds)
        return
    device = torch.device(options.device)
    settings = DQNSettings(network=options.network, batch_size=options.batch_size, double=options.double)
    agent = DQN(
        SHAPES[options.network], ACTIONS, settings, seed=np.random.SeedSequence(0), scale=1 / 255, device=device
    )
    batches, replay = make_batches(options, device), filled_replay(options, device)
    generator = torch.Generator(device)
    agent.update(batches)
    with RecordProducts() as record:
        agent.update(Batch(*(tensor[:1] for tensor in batches)))
    parameters = sum(parameter.numel() for parameter in agent.network.parameters())
    moved = 4 * 7 * parameters + 2 * batches.observations[0].nbytes  # Adam reads 4 tensors and writes 3
    a, b, c = (torch.zeros(16_000_000, device=device) for _ in range(3))

    calls: dict[str, Callable[[], Any]] = {
        "update": lambda: agent.update(batches),
        "update, batches sampled": lambda: agent.update(
            replay.sample(options.updates, options.batch_size, generator), None
        ),
    }
    if options.network == "nature" and not options.double:
        calls["eager, in CleanRL's manner"] = partial(EagerDQN(ACTIONS, device).update, batches)
        if StableBaselines.installed():
            stable = StableBaselines(SHAPES["nature"], ACTIONS, options.batch_size, device)
            calls["Stable-Baselines3, sampled"] = partial(stable.update, options.updates)
        else:
            print(INSTALL)
    products = {product: [float("inf"), float("inf")] for product in record.products}
    gemms = {p: product_ways((1, p.rows, p.inner, p.columns), device) for p in products}
    convolutions = {p: convolution_ways(p, device) for p in products}
    times, bandwidth = dict.fromkeys(calls, float("inf")), 0.0
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name] = min(times[name], seconds(call, device) / options.updates)
        bandwidth = max(bandwidth, 3 * a.nbytes / best([lambda: torch.add(a, b, out=c)], device))
        for product, found in products.items():
            found[0] = min(found[0], best(gemms[product], device))
            found[1] = min([found[1], *(best([way], device) for way in convolutions[product])])

    print(f"DQN update, {options.network}, batch {options.batch_size}, {options.threads} threads, {device}")
    print(f"{'product (rows x inner x columns)':40s} {'times':>5s} {'GFLOP':>6s} {'product ms':>10s} {'conv. ms':>9s}")
    for product, (gemm, convolution) in sorted(products.items(), key=lambda item: -item[0].flops):
        text = f"{product.name:8s} {product.rows} x {product.inner} x {product.columns}"
        count, own = record.products[product], f"{1e3 * convolution:9.2f}" if product.images else ""
        if product.flops > 1e6:
            print(f"{text:40s} {count:5d} {product.flops / 1e9:6.2f} {1e3 * gemm:10.2f} {own:>9s}")
    flops = sum(count * product.flops for product, count in record.products.items())
    as_products = sum(count * products[product][0] for product, count in record.products.items())
    fastest = sum(count * min(products[product]) for product, count in record.products.items())
    traffic = moved / bandwidth
    print(f"bytes moved {1e3 * traffic:6.2f} ms ({moved / 1e6:.0f} MB at {bandwidth / 1e9:.1f} GB/s)")
    for name, arithmetic in (("floor", fastest), ("floor, products alone", as_products)):
        floor = arithmetic + traffic
        rate, share = flops / arithmetic / 1e9, floor / times["update"]
        print(
            f"{name:28s} {1e3 * floor:6.2f} ms  {1 / floor:7.1f} updates/s  "
            f"({flops / 1e9:.2f} GFLOP at {rate:.0f} GFLOP/s; ratio {share:.2f})"
        )
    for name, value in times.items():
        print(f"{name:28s} {1e3 * value:6.2f} ms  {1 / value:7.1f} updates/s")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
