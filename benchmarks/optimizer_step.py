"""The overhead of an optimizer's step: torch's `zero_grad` and `step`, our replacement for them, and a whole update.

    python -m benchmarks.optimizer_step [--agents sac-quick minatar-quick] [--clock wall]

All three are timed in turns in one process, for all networks of an agent together, and the best time of each counts.
Both kinds of step give the same numbers, bit by bit: `tests/test_agents_optimizers.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import tyro

from fire_rl.agents.optimizers import let_go_of_gradients, take_step
from fire_rl.training.memory import keep_large_blocks

from .measures import Name, make_subject
from .timing import CLOCKS, seconds

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Options:
    """Which agents are timed, and how; their sizes are those of h1-walk, Breakout and MinAtar/Breakout-v1."""

    agents: tuple[Name, ...] = ("sac", "sac-quick", "nature", "minatar-quick")
    """The published SAC, its quick preset, the published DQN, its quick preset."""
    threads: int = 1
    """CPU threads."""
    rounds: int = 40
    """Number of turns; the best time counts."""
    clock: Literal["processor", "wall"] = "processor"
    """The process's own processor time, which other processes change little, or wall time."""


def torchs(optimizers: list[torch.optim.Optimizer]) -> None:
    """Take torch's own step with each optimizer, and set the gradients to None."""
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def ours(optimizers: list[torch.optim.Optimizer]) -> None:
    """Take the steps as the agents do, and drop the gradients."""
    for optimizer in optimizers:
        take_step(optimizer)
        let_go_of_gradients(parameter for group in optimizer.param_groups for parameter in group["params"])


def run(name: Name, options: Options) -> None:
    """Print one agent's times."""
    subject, clock = make_subject(name, 1, CPU), CLOCKS[options.clock]
    networks = subject.agent.networks
    optimizers: list[Any] = [network.optimizer for network in networks]
    optimizers += [companion.optimizer for network in networks for companion in network.companions]
    calls: dict[str, Callable[[], None]] = {
        "torch's": partial(torchs, optimizers), "ours": partial(ours, optimizers), "update": subject.update
    }  # fmt: skip
    best = dict.fromkeys(calls, float("inf"))
    subject.update()
    for _ in range(options.rounds):
        for what, call in calls.items():
            for parameter in (each for one in optimizers for group in one.param_groups for each in group["params"]):
                parameter.grad = torch.ones_like(parameter)
            best[what] = min(best[what], seconds(call, CPU, clock))
    update = best["update"] / len(subject.batches.rewards)
    saved = best["torch's"] - best["ours"]
    share = 100 * saved / (update + saved)
    print(f"{name:14s}" + "".join(f"{1e3 * value:10.3f}" for value in (update, best["torch's"], best["ours"])), end="")
    print(f"{share:9.1f}%", flush=True)


def main(options: Options) -> None:
    """Measure all agents."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    print(f"Optimizers' steps, {options.threads} threads, {options.clock} time, milliseconds of one update")
    print(f"{'agent':14s}" + "".join(f"{what:>10s}" for what in ("update", "torch's", "ours", "saved")))
    for name in options.agents:
        run(name, options)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
