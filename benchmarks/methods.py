"""Measures the cost of each method: of an event in seconds and in updates, of a method at every step as a share.

    python -m benchmarks.methods [--threads 2] [--agents sac nature]

Events are timed with the agent's published presets, without and with the record of the event (singular values before
and after). Methods that act at every step, and regularizers, are timed in turns with an update without them; the best
time of each round is used, and the median of the rounds' ratios is printed. The floor of an event is a plain copy of
all weights, measured in this run.
"""

import statistics
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from torch import Tensor

from fire_rl.agents import DQN, SAC
from fire_rl.agents.captured import products_in
from fire_rl.fire import METHODS, Never, PlasticityManager, Position, parse_method, parse_regularizer, published, spell
from fire_rl.fire.regularizers import REGULARIZERS
from fire_rl.replay import Batch
from fire_rl.training.memory import keep_large_blocks

from .measures import Name, make_subject
from .timing import best, seconds


@dataclass(frozen=True)
class Options:
    """The options; the sizes of observations and actions are those of h1-walk, Breakout and MinAtar/Breakout-v1."""

    threads: int = 2
    """CPU threads."""
    agents: tuple[Name, ...] = ("sac", "nature")
    """Which agents: the published SAC, its quick preset, the published DQN, its quick preset."""
    methods: tuple[str, ...] = (*METHODS, *REGULARIZERS)
    """Methods and regularizers, spelled as for --reinit and --regularize."""
    rounds: int = 12
    """Alternating rounds of updates with and without a method."""
    device: str = "cpu"
    """cpu or cuda."""


def manager_of(agent: SAC | DQN, method: str, examples: Batch) -> PlasticityManager:
    """Return a manager that applies a method or a regularizer as the training scripts do; inputs are the examples."""
    presets = published.SAC if isinstance(agent, SAC) else published.DQN
    regularizes = method.partition(":")[0] in REGULARIZERS
    at_events = parse_method("none" if regularizes else method, presets)
    inputs = {name: partial(_given, batch) for name, batch in agent.inputs(examples).items()}
    regularizers = [parse_regularizer(method)] if regularizes else []
    return PlasticityManager(agent.plastic(), at_events, Never(), regularizers, inputs=inputs)


def _given(batch: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    return batch


def run(name: Name, method: str, options: Options, device: torch.device) -> None:
    """Time one method with new agents, and print its line of the table."""
    subject, bare = (make_subject(name, 256, device) for _ in range(2))
    manager = manager_of(subject.agent, method, subject.examples)
    updates = subject.batches.rewards.shape[0]
    for _ in range(2):
        bare.update()
        subject.agent.update(subject.batches, manager)
    spelled = spell(manager.method)
    if manager.method.acts_at_events and not manager.regularizers:
        update = best([bare.update], device) / updates
        losses = subject.agent.losses(subject.examples, 0)
        repeats = 1 if method.startswith("injection") else 3  # each injection makes the next one's heads larger
        event = recorded = float("inf")
        for number in range(repeats):
            recorded = min(recorded, seconds(partial(manager.act, Position(number, number), losses), device))
            event = min(event, manager.events[-1].seconds)
        weights = [parameter for network in subject.agent.plastic() for parameter in network.module.parameters()]
        copies = [parameter.detach().clone() for parameter in weights]
        floor = best([lambda: torch._foreach_copy_(copies, list(weights))], device)
        figures = f"{event:10.4f} {event / update:10.2f} {floor:10.4f} {recorded:12.4f}"
        print(f"{name:14s} {method:16s} {figures} {'':>10s}  {spelled if spelled != method else ''}", flush=True)
        return
    ratios = []
    for _ in range(options.rounds):
        without = best([bare.update], device, repeats=2)
        with_it = min(seconds(lambda: subject.agent.update(subject.batches, manager), device) for _ in range(2))
        ratios.append(with_it / without)
    percent = 100 * (statistics.median(ratios) - 1)
    print(f"{name:14s} {method:16s} {'':>10s} {'':>10s} {'':>10s} {'':>12s} {percent:9.1f}%", flush=True)


@products_in("float32")
def main(options: Options) -> None:
    """Print the table."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"Methods, {options.threads} threads, {device}")
    print(f"{'agent':14s} {'method':16s} {'event, s':>10s} {'in updates':>10s} {'floor, s':>10s}", end=" ")
    print(f"{'recorded, s':>12s} {'an update':>10s}")
    for name in options.agents:
        for method in options.methods:
            run(name, method, options, device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
