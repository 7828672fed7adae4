"""Compares DQN's update with the least time that its arithmetic needs on this machine, and with other programs.

    python -m benchmarks.dqn_update [--threads 2] [--network nature]
    python -m benchmarks.dqn_update --loop      the whole loop on Breakout at one update per transition

The least time, called the floor, is the time of all matrix products of one update, each at the best rate measured for
its shape in this run. A convolution is computed as a matrix product (im2col) or as torch's own convolution, whichever
is faster. The bytes that Adam must move and the images that must be read are added, divided by the bandwidth measured
in this run. Ratio = floor time / update time. On a GPU, our updates are replayed from CUDA graphs, as in training, and
neither they nor the floor include the launches of kernels.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fire_rl.agents import DQN, DQNSettings
from fire_rl.replay import Batch, FrameReplay
from fire_rl.training.memory import keep_large_blocks

from .dqn_peers import INSTALL, EagerDQN, StableBaselines
from .floors import Floor, Work, product_ways
from .timing import one_of_many

ACTIONS = 4  # Breakout's
SHAPES = {"nature": (4, 84, 84), "minatar": (4, 10, 10)}
Ways = list[Callable[[], Any]]


@dataclass(frozen=True)
class Options:
    """The options; the defaults are the published sizes, with Breakout's four actions."""

    threads: int = 2
    """CPU threads."""
    network: Literal["nature", "minatar"] = "nature"
    """Which network; the other programs are only compared with nature."""
    batch_size: int = 32
    """Transitions per update."""
    double: bool = False
    """Double Q-learning, which needs one more forward pass."""
    updates: int = 4
    """Updates of one call; 4 is what 4 environments at replay ratio 1 need."""
    rounds: int = 12
    """Alternating rounds of updates, products and other programs; the best time of each is used."""
    device: str = "cpu"
    """cpu or cuda."""
    loop: bool = False
    """Time whole loops on Breakout instead."""
    loop_steps: int = 1_200
    """Environment steps of each round of a whole loop, after 400 steps without learning."""
    loop_rounds: int = 3
    """Alternating rounds of whole loops; the median is printed."""


@dataclass(frozen=True)
class Product:
    """A matrix product of one update; for a convolution, also the shapes of its images and weights."""

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
        """The number of floating-point operations."""
        return 2.0 * self.rows * self.inner * self.columns


class RecordProducts(TorchDispatchMode):
    """Counts the matrix products that run within this context, including those of convolutions."""

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


def convolution_ways(product: Product, device: torch.device, dtype: torch.dtype = torch.float32) -> Ways:
    """Return ways to compute a product as torch's convolution, or a part of its gradient, in both memory formats."""
    if not product.images:
        return []
    ways: Ways = []
    padding = [product.padding] * 2
    for order in (torch.contiguous_format, torch.channels_last):
        images = torch.randn(product.images, device=device).to(dtype).contiguous(memory_format=order)
        weights = torch.randn(product.weights, device=device).to(dtype).contiguous(memory_format=order)
        stride = [product.stride] * 2
        if product.name == "forward":
            ways.append(partial(torch.conv2d, images, weights, None, stride, padding))
            continue
        gradient = torch.randn_like(torch.conv2d(images, weights, None, stride, padding))
        wanted = [product.name == "inputs", product.name == "weights", False]
        rest = (None, stride, padding, [1, 1], False, [0, 0], 1, wanted)
        ways.append(partial(torch.ops.aten.convolution_backward, gradient, images, weights, *rest))
    return ways


def dqn_floor(agent: DQN, products: Mapping[Product, int], read: float, dtype: torch.dtype = torch.float32) -> Floor:
    """Return the floor of an update of DQN with these products, which reads this many bytes of images."""
    parameters = sum(parameter.numel() for parameter in agent.network.parameters())
    work = [
        Work(
            f"{product.name:8s} {product.rows} x {product.inner} x {product.columns}",
            count,
            product.flops,
            {
                "product": product_ways((1, product.rows, product.inner, product.columns), agent.device, dtype),
                "convolution": convolution_ways(product, agent.device, dtype),
            },
        )
        for product, count in products.items()
    ]
    return Floor(work, 4 * 7 * parameters + read, agent.device)  # Adam reads 4 tensors and writes 3


def make_batches(options: Options, device: torch.device) -> Batch:
    """Return random batches for one call of the update."""
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
    """Return a replay with 5,000 transitions of 4 environments whose episodes have 100 steps."""
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
    """Time everything, and print the table."""
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
    floor = dqn_floor(agent, record.products, 2 * batches.observations[0].nbytes)
    agent.captured.on = True  # has no effect on a CPU

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
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(options.rounds):
        for name, call in calls.items():
            times[name] = min(times[name], one_of_many(call, device) / options.updates)
        floor.measure()

    print(f"DQN update, {options.network}, batch {options.batch_size}, {options.threads} threads, {device}")
    print(f"{'product (rows x inner x columns)':40s} {'times':>5s} {'GFLOP':>6s} {'product ms':>10s} {'conv. ms':>9s}")
    for each in sorted(floor.work, key=lambda work: -work.flops):
        own = f"{1e3 * each.seconds['convolution']:9.3f}" if "convolution" in each.seconds else ""
        if each.flops > 1e6:
            product = 1e3 * each.seconds["product"]
            print(f"{each.name:40s} {each.count:5d} {each.flops / 1e9:6.2f} {product:10.3f} {own:>9s}")
    moved, bandwidth = floor.moved / 1e6, floor.bandwidth / 1e9
    print(f"bytes moved {1e3 * floor.traffic:6.3f} ms ({moved:.0f} MB at {bandwidth:.1f} GB/s)")
    for name, kinds in (("floor", ()), ("floor, products alone", ("product",))):
        arithmetic = floor.arithmetic(*kinds)
        least = arithmetic + floor.traffic
        rate, share = floor.flops / arithmetic / 1e9, least / times["update"]
        print(
            f"{name:28s} {1e3 * least:6.2f} ms  {1 / least:7.1f} updates/s  "
            f"({floor.flops / 1e9:.2f} GFLOP at {rate:.0f} GFLOP/s; ratio {share:.2f})"
        )
    for name, value in times.items():
        print(f"{name:28s} {1e3 * value:6.2f} ms  {1 / value:7.1f} updates/s")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
