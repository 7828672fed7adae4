"""Compares DQN's update with the least time that its arithmetic needs on this machine, and with other programs.

    python -m benchmarks.dqn_update [--threads 2] [--network nature]
    python -m benchmarks.dqn_update --loop      the whole loop on Breakout at one update per transition

The least time, called the floor, is the time of all matrix products of one update, each at the best rate measured for
its shape in this run. A convolution is computed as a matrix product (im2col) or as torch's own convolution, whichever
is faster. The bytes that Adam must move and the images that must be read are added, divided by the bandwidth measured
in this run. Ratio = floor time / update time. On a GPU, our updates are replayed from CUDA graphs, as in training, and
neither they nor the floor include the launches of kernels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import tyro

from fire_rl.agents import DQN, DQNSettings
from fire_rl.replay import Batch, FrameReplay
from fire_rl.training.memory import keep_large_blocks

from .convolutions import RecordProducts, dqn_floor
from .dqn_peers import INSTALL, EagerDQN, StableBaselines
from .timing import one_of_many

ACTIONS = 4  # Breakout's
SHAPES = {"nature": (4, 84, 84), "minatar": (4, 10, 10)}


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
    floor = dqn_floor(agent, record, 2 * batches.observations[0].nbytes)
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
        own = each.best("convolution")
        shown = f"{1e3 * own:9.3f}" if math.isfinite(own) else ""
        if each.flops > 1e6:
            product = 1e3 * each.best("product")
            print(f"{each.name:40s} {each.count:5d} {each.flops / 1e9:6.2f} {product:10.3f} {shown:>9s}")
    moved, bandwidth = floor.moved / 1e6, floor.bandwidth / 1e9
    print(f"bytes moved {1e3 * floor.traffic:6.3f} ms ({moved:.0f} MB at {bandwidth:.1f} GB/s)")
    for name, kind in (("floor", ""), ("floor, products alone", "product")):
        arithmetic = floor.arithmetic(kind)
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
