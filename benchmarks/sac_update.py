"""Compares SAC's update with the least time that its arithmetic needs on this machine.

    python -m benchmarks.sac_update [--threads 2] [--width 512]

The least time, called the floor, is the time of all matrix products of one update, each at the best rate measured for
its shape in this run, plus the bytes that optimizers and target must move divided by the bandwidth measured in this
run. Ratio = floor time / update time. On a GPU, updates are replayed from CUDA graphs, as in training, and neither they
nor the floor include the launches of kernels.
"""

from dataclasses import dataclass

import numpy as np
import torch
import tyro

from fire_rl.agents import SAC, SACSettings
from fire_rl.replay import Batch
from fire_rl.training.memory import keep_large_blocks

from .floors import RecordProducts, sac_floor
from .timing import one_of_many


@dataclass(frozen=True)
class Options:
    """The options; the defaults are the published sizes for h1-walk."""

    threads: int = 2
    """CPU threads."""
    width: int = 512
    """Width of the critic; the actor's is a quarter of it."""
    batch_size: int = 256
    """Transitions per update."""
    rounds: int = 8
    """Alternating rounds of updates and products; the best time of each is used."""
    device: str = "cpu"
    """cpu or cuda."""


def flat_batch(lead: tuple[int, ...], device: torch.device) -> Batch:
    """Return random transitions with h1-walk's sizes."""
    return Batch(
        torch.randn(*lead, 51, device=device),
        torch.rand(*lead, 19, device=device) * 2 - 1,
        torch.rand(lead, device=device),
        torch.randn(*lead, 51, device=device),
        torch.zeros(lead, device=device),
        torch.ones(lead, device=device),
    )


def main(options: Options) -> None:
    """Time everything, and print the table."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    settings = SACSettings(critic_width=options.width, actor_width=options.width // 4, batch_size=options.batch_size)
    agent = SAC(51, 19, settings, seed=np.random.SeedSequence(0), device=device)
    batches = flat_batch((2, options.batch_size), device)
    agent.update(batches)
    with RecordProducts() as record:
        agent.update(Batch(*(tensor[:1] for tensor in batches)))
    floor, update = sac_floor(agent, record), float("inf")
    agent.captured.on = True  # has no effect on a CPU
    for _ in range(options.rounds):
        update = min(update, one_of_many(lambda: agent.update(batches), device) / 2)
        floor.measure()

    print(f"SAC update, critic {options.width}, batch {options.batch_size}, {options.threads} threads, {device}")
    print(f"{'product (members x rows x inner x columns)':44s} {'times':>5s} {'GFLOP':>7s} {'GFLOP/s':>8s} {'ms':>7s}")
    arithmetic, shown = floor.arithmetic(), 0.0
    for each in sorted(floor.work, key=lambda work: -work.count * work.best()):
        taken = each.count * each.best()
        shown += taken
        if taken > 0.01 * shown:
            size = each.count * each.flops
            print(f"{each.name:44s} {each.count:5d} {size / 1e9:7.2f} {size / taken / 1e9:8.1f} {1e3 * taken:7.2f}")
    rate = floor.flops / arithmetic / 1e9
    print(f"products     {1e3 * arithmetic:8.2f} ms  ({floor.flops / 1e9:.1f} GFLOP, {rate:.0f} GFLOP/s)")
    moved, bandwidth = floor.moved / 1e6, floor.bandwidth / 1e9
    print(f"bytes moved  {1e3 * floor.traffic:8.2f} ms  ({moved:.0f} MB at {bandwidth:.1f} GB/s)")
    print(f"floor        {1e3 * floor.seconds:8.2f} ms  ({1 / floor.seconds:.2f} updates/s)")
    print(f"update       {1e3 * update:8.2f} ms  ({1 / update:.2f} updates/s)")
    print(f"ratio        {floor.seconds / update:8.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
