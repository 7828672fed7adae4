"""Measures the time of one decision of an exported policy: median and 99th percentile of 10,000 calls with batch 1.

python -m benchmarks.export_latency [RUN ...]

RUN is a run, a card or pretrained:NAME; without any, all policies that come with the project are timed, and untrained
ones of the published sizes of SAC for h1-walk and of DQN for Atari. onnxruntime (if installed), the traced module and
`load_policy` are timed in turns, in blocks, in one process with one thread. The table shows the elapsed time and the
processor time of the thread: if other work interrupts a call, only the elapsed time grows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from fire_rl.agents import Surroundings
from fire_rl.cores import processor
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.export.formats import FORMATS, made
from fire_rl.training.export.observations import drawn
from fire_rl.training.learners import LEARNERS
from fire_rl.training.made_with import versions
from fire_rl.training.policy import Policy, load_policy
from fire_rl.training.pretrained import PREFIX, pretrained_names
from fire_rl.training.spaces import spaces_of_environment, surroundings_of
from fire_rl.training.streams import Streams

CALLS, BLOCK, WARM = 10_000, 500, 200
PUBLISHED = (("sac", "h1-walk"), ("dqn", "Breakout"))


def untrained(learner: str, env: str) -> Policy:
    """Return an untrained policy of the published size."""
    preset = next(iter(LEARNERS[learner].presets.values()))
    config = preset.config.altered(env=env).resolved()
    assert isinstance(config, AgentRun)
    spaces = spaces_of_environment(config)
    around: Surroundings = surroundings_of(config, spaces)
    agent = config.agent_for(around, Streams.spawn(0).agent, torch.device("cpu"))
    return Policy(Path(f"{env} (published size)"), 0, config, agent, spaces)


def latencies(policy: Policy, calls: int) -> dict[str, np.ndarray]:
    """Return the microseconds of single decisions (2, calls) for each way to make them: elapsed and processor time."""
    given = drawn(policy, 64)
    fed = given if given.dtype == np.uint8 else given.astype(np.float32)
    found = [name for name in ("onnx", "torchscript") if all(map(find_spec, FORMATS[name].needs))]
    ways: dict[str, Callable[[Any], Any]] = {name: made(policy, name, {})[1] for name in found}
    ways["load_policy"] = policy.act
    taken: dict[str, list[tuple[int, int]]] = {name: [] for name in ways}
    for way in ways.values():
        for place in range(WARM):
            way(fed[place % 64][None])
    while len(taken["load_policy"]) < calls:
        for name, way in ways.items():
            for place in range(BLOCK):
                observation = fed[place % 64][None]
                start, begun = time.perf_counter_ns(), time.thread_time_ns()
                way(observation)
                used = time.thread_time_ns() - begun
                taken[name].append((time.perf_counter_ns() - start, used))
    return {name: np.array(values[:calls]).T / 1e3 for name, values in taken.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--calls", type=int, default=CALLS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    policies = [load_policy(name) for name in given.runs or [PREFIX + name for name in pretrained_names()]]
    if not given.runs:
        policies += [untrained(*published) for published in PUBLISHED]
    print(f"{processor()}, one thread, torch {versions()['torch']}; microseconds, {given.calls:,} calls, batch 1")
    print(f"{'':60} {'elapsed':>17} {'processor':>17}")
    print(f"{'policy':32} {'parameters':>12}  {'by':12}  {'median':>8} {'99%':>8} {'median':>8} {'99%':>8}")
    for policy in policies:
        count = sum(value.numel() for value in policy.module().parameters())
        for way, taken in latencies(policy, given.calls).items():
            figures = " ".join(f"{figure:8.1f}" for figure in np.quantile(taken, (0.5, 0.99), axis=1).T.ravel())
            print(f"{policy.run.name:32} {count:12,}  {way:12}  {figures}", flush=True)


if __name__ == "__main__":
    main()
