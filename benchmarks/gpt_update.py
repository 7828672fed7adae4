"""Compares a GPT's update with the least time that its arithmetic needs on this machine, and with nanoGPT's update.

    python -m benchmarks.gpt_update [--threads 2] [--network gpt-small] [--nanogpt CHECKOUT]

The least time, called the floor, is the time of all matrix products of one update, each computed in the way that was
fastest for its shape in this run, plus the bytes that AdamW must move divided by the bandwidth measured in this run.
Attention has six products for each head and sequence, two forward and four backward. They are computed as whole squares
or in blocks of 64 rows without the masked part. The softmax and values that are computed a second time are not part of
the floor. The update is that of a run, `fire_rl.agents.supervised.Supervised.update`. Update, products and peer are
timed in turns, so that other load on the machine affects all of them. Ratio = floor time / update time; the median of
the rounds is printed.

The peer is nanoGPT's own model of the same size, trained as in its loop, without torch.compile.
"""

import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn

from fire_rl.agents.language import GPTName, GPTSizes, LanguageModelSettings, gpt_size, gpt_sizes, make_learner
from fire_rl.training.memory import keep_large_blocks

from . import timing
from .floors import RecordProducts, Shape, product_ways

NANOGPT = "to compare with nanoGPT: git clone https://github.com/karpathy/nanoGPT, and add --nanogpt nanoGPT"
BLOCK = 64  # rows


@dataclass(frozen=True)
class Options:
    """The options; one update is one batch of sequences of the context's length."""

    threads: int = 2
    """CPU threads."""
    network: GPTName = "gpt-small"
    """The size of the network."""
    batch_size: int = 32
    """Sequences of an update."""
    rounds: int = 8
    """Alternating rounds of updates, products and the peer; the best time and the median ratio are printed."""
    nanogpt: Path | None = None
    """A checkout of github.com/karpathy/nanoGPT."""
    device: str = "cpu"
    """cpu or cuda."""
    clock: Literal["wall", "processor"] = "wall"
    """processor: the processor time of this process, for a machine that is busy with other processes. Use it with one
    thread, because several threads use processor time while they wait for each other."""


class NanoGPT:
    """nanoGPT's model and optimizer, made and used as in its train.py."""

    def __init__(self, checkout: Path, sizes: GPTSizes, device: torch.device) -> None:
        specification = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
        if specification is None or specification.loader is None or not (checkout / "model.py").is_file():
            print(f"--nanogpt {checkout} given, but it contains no model.py; {NANOGPT}", file=sys.stderr)
            raise SystemExit(2)
        theirs = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = theirs  # its dataclass looks up its own module there
        specification.loader.exec_module(theirs)
        config = theirs.GPTConfig(
            sizes.context, sizes.vocabulary, sizes.layers, sizes.heads, sizes.width, dropout=0.0, bias=False
        )
        self.model: Any = theirs.GPT(config).to(device)
        self.optimizer = self.model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), device.type)

    def update(self, tokens: Tensor, following: Tensor) -> None:
        """Do one update on a batch of tokens and the tokens that follow them."""
        _, loss = self.model(tokens, following)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Product:
    """The products of one shape in an update, and several ways to compute one."""

    text: str
    count: int
    operations: int  # of one product
    ways: list[Callable[[], Any]]

    @classmethod
    def of(cls, shape: Shape, count: int, device: torch.device) -> "Product":
        """Return `count` products of a shape."""
        return cls(" x ".join(map(str, shape)), count, 2 * math.prod(shape), list(product_ways(shape, device).values()))


def attention_products(sizes: GPTSizes, batch_size: int, device: torch.device) -> list[Product]:
    """Return attention's products: scores, sums of values, gradients of probabilities, values, queries and keys."""
    members, length, inner = batch_size * sizes.heads, sizes.context, sizes.width // sizes.heads
    scores, sums = (members, length, inner, length), (members, length, length, inner)
    starts = range(0, length, BLOCK)
    rows = [min(BLOCK, length - start) for start in starts]
    found = []
    for kind, shape, count in (("scores", scores, 2), ("sums", sums, 4)):
        shapes = [
            (members, row, inner, start + row) if kind == "scores" else (members, row, start + row, inner)
            for start, row in zip(starts, rows, strict=True)
        ]
        blocks = [product_ways(block, device)["product nn"] for block in shapes]
        whole = Product.of(shape, count * sizes.layers, device)
        operations = 2 * sum(math.prod(block) for block in shapes)
        both: list[Callable[[], Any]] = [*whole.ways, partial(in_turn, blocks)]
        found.append(replace(whole, text=f"{whole.text}, causal", operations=operations, ways=both))
    return found


def in_turn(calls: list[Callable[[], Any]]) -> None:
    """Make all calls, one after the other."""
    for call in calls:
        call()


def main(options: Options) -> None:
    """Time everything, and print the table."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device, sizes = torch.device(options.device), gpt_sizes(options.network)
    seconds = partial(timing.seconds, device=device, clock=timing.CLOCKS[options.clock])

    learner = make_learner(sizes, LanguageModelSettings(network=options.network), 0, device)
    update = partial(learner.update, shares=[1.0])
    tokens = torch.randint(sizes.vocabulary, (options.batch_size, sizes.context + 1), device=device)
    batch = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    calls: dict[str, Callable[[], Any]] = {"update": partial(update, [batch])}
    if options.nanogpt is not None:
        calls["nanoGPT"] = partial(NanoGPT(options.nanogpt, sizes, device).update, *batch)
    for call in calls.values():
        call()
    with RecordProducts() as record:
        update([batch])
    products = [Product.of(shape, number, device) for shape, number in record.shapes.items()]
    products += attention_products(sizes, options.batch_size, device)
    alone = {product.text: [min(seconds(way) for _ in range(5)) for way in product.ways] for product in products}
    order = [
        product.ways[alone[product.text].index(min(alone[product.text]))]
        for product in products
        for _ in range(product.count)
    ]
    calls["products"] = partial(in_turn, order)
    a, b, c = (torch.zeros(16_000_000, device=device) for _ in range(3))
    calls["addition"] = lambda: torch.add(a, b, out=c)
    rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(options.rounds)]
    moved = 4 * 7 * sizes.parameters / (3 * a.nbytes)  # AdamW reads four tensors and writes three
    rounds = [times | {"floor": times["products"] + moved * times["addition"]} for times in rounds]

    size, count = gpt_size(sizes, options.batch_size), options.batch_size * sizes.context
    print(f"{options.network}: {size.parameters:,} weights, {size.bytes / 1e6:,.0f} MB in training by arithmetic")
    print(f"{count:,} tokens an update, {options.threads} threads, {device}, {options.clock} time")
    print(f"{'product (members x rows x inner x columns)':44s} {'times':>6s} {'GFLOP':>7s} {'GFLOP/s':>8s}")
    for product in sorted(products, key=lambda product: -product.operations * product.count):
        work, rate = product.operations * product.count / 1e9, product.operations / min(alone[product.text]) / 1e9
        print(f"{product.text:44s} {product.count:6d} {work:7.2f} {rate:8.1f}")
    for name in ("products", "floor", "update", "nanoGPT"):
        if name in rounds[0]:
            took = min(times[name] for times in rounds)
            print(f"{name:12s} {1e3 * took:8.1f} ms  {count / took:12,.0f} tokens/s")
    print(f"{median(times['floor'] / times['update'] for times in rounds):.2f} of the floor's tokens/s")
    if options.nanogpt is None:
        print(NANOGPT)
    else:
        print(f"{median(times['nanoGPT'] / times['update'] for times in rounds):.2f} times nanoGPT's tokens/s")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
