"""How close a GPT's update comes to the least time its own arithmetic needs on this machine, beside nanoGPT's.

    python -m benchmarks.gpt_update [--threads 2] [--network gpt-small] [--nanogpt CHECKOUT]

The floor is every matrix product of one update, each at the best rate measured for its shape in this run, plus the
bytes that AdamW must move, over the bandwidth measured in this run. Of attention these are six products of each head
with every sequence, two forward and four backward, and of each the half that causal attention cannot do without: what
it normalises, masks and computes again is no part of the floor. Ratio = floor time / update time.

The peer is nanoGPT's own model at the same size, trained in the manner of its loop, without torch.compile.
"""

import importlib.util
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional

from agents.language import GPTSizes, adamw_grouped, gpt_size, gpt_sizes, make_gpt
from training.memory import keep_large_blocks

from .sac_update import RecordProducts, Shape, product_ways, wait

NANOGPT = "for nanoGPT beside it: git clone https://github.com/karpathy/nanoGPT, and --nanogpt nanoGPT"


@dataclass(frozen=True)
class Options:
    """One update is one batch of sequences as long as the context."""

    threads: int = 2
    """CPU threads."""
    network: str = "gpt-small"
    """Which size."""
    batch_size: int = 16
    """Sequences of an update."""
    rounds: int = 8
    """Alternating rounds of updates, products and the peer; the best of each counts."""
    nanogpt: Path | None = None
    """A checkout of github.com/karpathy/nanoGPT."""
    device: str = "cpu"
    """cpu or cuda."""
    clock: Literal["wall", "processor"] = "wall"
    """processor: the processor's time for this process, for a machine that is busy with others; with one thread, as
    several wait for each other busily."""


class Update:
    """One gradient step on a batch of tokens, as training takes it, of a model that gives scores."""

    def __init__(self, scores: Callable[[Tensor], Tensor], module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.scores, self.parameters, self.optimizer = scores, list(module.parameters()), optimizer

    def __call__(self, tokens: Tensor, following: Tensor) -> Tensor:
        scores = self.scores(tokens).flatten(0, -2)
        loss = functional.cross_entropy(scores, following.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return (scores.detach().argmax(-1) == following.flatten()).float().mean()


class NanoGPT:
    """Its model and its optimizer, as its train.py makes and uses them."""

    def __init__(self, checkout: Path, sizes: GPTSizes, device: torch.device) -> None:
        specification = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
        if specification is None or specification.loader is None or not (checkout / "model.py").is_file():
            raise SystemExit(f"--nanogpt {checkout} given: there is no model.py in it; {NANOGPT}")
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


def attention_products(sizes: GPTSizes, batch_size: int) -> dict[Shape, float]:
    """Of one update, by shape, how many: half of the squares of scores, and of the sums of values, three times each."""
    members, length, inner = batch_size * sizes.heads, sizes.context, sizes.width // sizes.heads
    half = (length + 1) / (2 * length)
    return {
        (members, length, inner, length): sizes.layers * 2 * half,  # scores; gradients of probabilities
        (members, length, length, inner): sizes.layers * 4 * half,  # sums; gradients of values, queries and keys
    }


def main(options: Options) -> None:
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device, sizes = torch.device(options.device), gpt_sizes(options.network)
    clock = time.perf_counter if options.clock == "wall" else time.process_time

    def seconds(call: Callable[[], Any]) -> float:
        wait(device)
        start = clock()
        call()
        wait(device)
        return clock() - start

    model = make_gpt(sizes, seed=0).to(device)
    update = Update(model, model, adamw_grouped(model))
    tokens = torch.randint(sizes.vocabulary, (options.batch_size, sizes.context + 1), device=device)
    batch = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    calls: dict[str, Callable[[], Any]] = {"update": partial(update, *batch)}
    if options.nanogpt is not None:
        calls["nanoGPT"] = partial(NanoGPT(options.nanogpt, sizes, device).update, *batch)
    for call in calls.values():
        call()
    with RecordProducts() as record:
        update(*batch)
    counts = {shape: float(count) for shape, count in record.shapes.items()}
    counts |= attention_products(sizes, options.batch_size)
    ways = {shape: product_ways(shape, device) for shape in counts}
    a, b, c = (torch.zeros(16_000_000, device=device) for _ in range(3))
    times, products, bandwidth = dict.fromkeys(calls, math.inf), dict.fromkeys(counts, math.inf), 0.0
    for _ in range(options.rounds):
        times = {name: min(times[name], seconds(call)) for name, call in calls.items()}
        products = {
            shape: min(products[shape], *(seconds(way) for way in ways[shape] for _ in range(3))) for shape in counts
        }
        bandwidth = max(bandwidth, 3 * a.nbytes / seconds(lambda: torch.add(a, b, out=c)))

    size, count = gpt_size(sizes, options.batch_size), options.batch_size * sizes.context
    print(
        f"{options.network}: {size.parameters:,} weights, {count:,} tokens an update, {options.threads} threads, "
        f"{device}"
    )
    print(
        f"memory by arithmetic {size.bytes / 1e6:,.0f} MB; times are the best of {options.rounds} rounds, "
        f"{options.clock}"
    )
    print(f"{'product (members x rows x inner x columns)':44s} {'times':>6s} {'GFLOP':>7s} {'GFLOP/s':>8s} {'ms':>8s}")
    for shape in sorted(counts, key=lambda shape: -products[shape] * counts[shape]):
        work, text = 2 * math.prod(shape) / 1e9, " x ".join(map(str, shape))
        took = 1e3 * counts[shape] * products[shape]
        print(f"{text:44s} {counts[shape]:6.1f} {counts[shape] * work:7.2f} {work / products[shape]:8.1f} {took:8.2f}")
    arithmetic = sum(counts[shape] * products[shape] for shape in counts)
    traffic = 4 * 7 * size.parameters / bandwidth  # AdamW reads four tensors and writes three
    floor = arithmetic + traffic
    for name, took in (("products", arithmetic), ("bytes moved", traffic), ("floor", floor), *times.items()):
        print(f"{name:12s} {1e3 * took:8.1f} ms  {count / took:12,.0f} tokens/s")
    print(f"ratio        {floor / times['update']:8.2f}  of the floor's tokens/s")
    if options.nanogpt is None:
        print(NANOGPT)
    else:
        print(f"to nanoGPT   {times['nanoGPT'] / times['update']:8.2f}  times its tokens/s")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
