"""How close a GPT's update comes to the least time its own arithmetic needs on this machine, beside nanoGPT's.

    python -m benchmarks.gpt_update [--threads 2] [--network gpt-small] [--nanogpt CHECKOUT]

The floor is every matrix product of one update, one after the other, each in the way that was fastest for its shape in
this run, plus the bytes that AdamW must move, over the bandwidth measured in this run. Of attention these are six
products of each head with every sequence, two forward and four backward, as whole squares or in blocks of 64 rows that
leave out what is masked: what it normalises and what it computes again is no part of the floor. The update is
training's own, `fire_rl.agents.supervised.Supervised.update`, made as a run makes it. Update, products and
peer take turns, so that all of them meet the same machine. Ratio = floor time / update time, the rounds' median.

The peer is nanoGPT's own model at the same size, trained in the manner of its loop, without torch.compile.
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

NANOGPT = "for nanoGPT beside it: git clone https://github.com/karpathy/nanoGPT, and --nanogpt nanoGPT"
BLOCK = 64  # rows


@dataclass(frozen=True)
class Options:
    """One update is one batch of sequences as long as the context."""

    threads: int = 2
    """CPU threads."""
    network: GPTName = "gpt-small"
    """Which size."""
    batch_size: int = 32
    """Sequences of an update."""
    rounds: int = 8
    """Alternating rounds of updates, products and the peer; of times the best counts, of ratios the median."""
    nanogpt: Path | None = None
    """A checkout of github.com/karpathy/nanoGPT."""
    device: str = "cpu"
    """cpu or cuda."""
    clock: Literal["wall", "processor"] = "wall"
    """processor: the processor's time for this process, for a machine that is busy with others; with one thread, as
    several wait for each other busily."""


class NanoGPT:
    """Its model and its optimizer, as its train.py makes and uses them."""

    def __init__(self, checkout: Path, sizes: GPTSizes, device: torch.device) -> None:
        specification = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
        if specification is None or specification.loader is None or not (checkout / "model.py").is_file():
            print(f"--nanogpt {checkout} given: there is no model.py in it; {NANOGPT}", file=sys.stderr)
            raise SystemExit(2)
        theirs = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = theirs  # where its dataclass looks itself up
        specification.loader.exec_module(theirs)
        config = theirs.GPTConfig(
            sizes.context, sizes.vocabulary, sizes.layers, sizes.heads, sizes.width, dropout=0.0, bias=False
        )
        self.model: Any = theirs.GPT(config).to(device)
        self.optimizer = self.model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), device.type)

    def update(self, tokens: Tensor, following: Tensor) -> None:
        _, loss = self.model(tokens, following)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Product:
    """Of an update, products of one shape: how many, what they multiply and the ways to do one."""

    text: str
    count: int
    operations: int  # of one
    ways: list[Callable[[], Any]]

    @classmethod
    def of(cls, shape: Shape, count: int, device: torch.device) -> "Product":
        return cls(" x ".join(map(str, shape)), count, 2 * math.prod(shape), product_ways(shape, device))


def attention_products(sizes: GPTSizes, batch_size: int, device: torch.device) -> list[Product]:
    """Scores and gradients of probabilities; sums of values, and gradients of values, queries and keys."""
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
        blocks = [product_ways(block, device)[0] for block in shapes]
        whole = Product.of(shape, count * sizes.layers, device)
        operations = 2 * sum(math.prod(block) for block in shapes)
        both: list[Callable[[], Any]] = [*whole.ways, partial(in_turn, blocks)]
        found.append(replace(whole, text=f"{whole.text}, causal", operations=operations, ways=both))
    return found


def in_turn(calls: list[Callable[[], Any]]) -> None:
    for call in calls:
        call()


def main(options: Options) -> None:
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
