"""How often a diagnosis is wrong: false alarms over fresh networks, and the verdicts on networks damaged on purpose.

    python -m benchmarks.diagnosis [--networks 50] [--threads 1]

Half of the networks are DQN's for vectors, half are SAC's critics; inputs are random. A false alarm is any verdict
other than "nothing" on a new, randomly initialised network. Each of these is examined with other inputs and compared
with other fresh networks, so that they are independent. "Ruined" networks have learned random labels, which changed
every 100 updates, at a high learning rate; "dormant" ones have 90% of their hidden units silenced; "FIRE'd" ones were
ruined first.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal

import torch
import tyro
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Critic
from fire_rl.fire import Probe, fire_, hidden_layers
from fire_rl.fire.diagnosis import Bench, Diagnosis, examine
from fire_rl.fire.matrices import last_layers
from fire_rl.fire.probe import Data, Run, plain_run

OBSERVATION, ACTION, WIDTH = 8, 3, 32
TESTED_FROM = 100_000  # the first seed of the examined networks, away from the seeds of the fresh ones
APART = 2_000  # between the seeds of two benches; each uses some seeds from its own on, and from its own + 1,000 on


@dataclass(frozen=True)
class Options:
    """Which networks are examined, and how."""

    agents: tuple[Literal["dqn", "sac"], ...] = ("dqn", "sac")
    """The agents whose networks are examined."""
    networks: int = 50
    """Total number of fresh networks, for the rate of false alarms."""
    first: int = 0
    """Number of fresh networks to skip, so that several processes can share the work."""
    known: int = 2
    """Networks of each known case and agent."""
    updates: int = 200
    """Gradient updates of a probe."""
    threads: int = 1
    """CPU threads."""


def q_network(seed: int) -> nn.Module:
    """Return a fresh Q-network."""
    network = make_network("mlp", (OBSERVATION,), ACTION, WIDTH)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def critic(seed: int) -> nn.Module:
    """Return a fresh ensemble of two critics."""
    network = Critic(OBSERVATION, ACTION, WIDTH, 1, 2)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def run_critic(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the critics' values, (batch, members)."""
    return module(*batch).mT


def bench_of(kind: str, seed: int, updates: int) -> tuple[Bench, Callable[[int], nn.Module]]:
    """Return the bench of fresh networks and inputs of one agent, and the function that makes its networks."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    observations = draw(32, 64, OBSERVATION).unbind()
    probe = Probe(updates)
    if kind == "dqn":
        return Bench(q_network, Data.joined(observations), plain_run, rate=2.5e-4, probe=probe, seed=seed), q_network
    pairs = [(each, draw(64, ACTION).tanh()) for each in observations]
    return Bench(critic, Data.joined(pairs), run_critic, rate=3e-4, probe=probe, seed=seed), critic


def fresh_case(kind: str, number: int, updates: int) -> tuple[Bench, nn.Module]:
    """Return a fresh network with a bench of its own; two numbers have no seed in common."""
    bench, make = bench_of(kind, APART * number, updates)
    return bench, make(TESTED_FROM + APART * number + APART // 4)


def judged(bench: Bench, module: nn.Module) -> Diagnosis:
    """Return the diagnosis of a network."""
    return examine(
        module, "network", bench, last_layers(module, ("value",) if isinstance(module, Critic) else ("head",))
    )


def ruined(
    module: nn.Module, data: Data, run: Run, seed: int, rounds: int = 15, updates: int = 100, rate: float = 1e-2
) -> nn.Module:
    """Return a copy that was trained on random labels, which changed in every round."""
    learner, generator = copy.deepcopy(module), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(learner.parameters(), rate, fused=True)
    for _ in range(rounds):
        labels = [10 * torch.randn(run(learner, batch).shape, generator=generator) for batch in data.batches]
        for _ in range(updates):
            place = int(torch.randint(len(labels), (), generator=generator))
            optimizer.zero_grad()
            (run(learner, data.batches[place]) - labels[place]).square().mean().backward()
            optimizer.step()
    return learner


@torch.no_grad()
def dormant(module: nn.Module, share: float = 0.9) -> nn.Module:
    """Return a copy in which most hidden units give 0 for every input."""
    made = copy.deepcopy(module)
    for layer in hidden_layers(made):
        axis = len(layer.shape) - 1
        silent = int(share * layer.shape[axis])
        for number, weights in enumerate(layer.incoming):
            weights.of(made).narrow(axis, 0, silent).fill_(-1.0 if number else 0.0)
    return made


def fired(module: nn.Module) -> nn.Module:
    """Return a copy whose matrices FIRE has projected."""
    made = copy.deepcopy(module)
    fire_(made, solver="exact")
    return made


def offset(module: nn.Module) -> nn.Module:
    """Return a copy that differs only by an offset of its outputs."""
    made = copy.deepcopy(module)
    with torch.no_grad():
        list(made.parameters())[-1].add_(10.0)
    return made


def known_cases(module: nn.Module, bench: Bench, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield networks whose diagnosis is known, with the name of the case."""
    worn = ruined(module, bench.data, bench.run, seed)
    yield "ruined", worn
    yield "dormant", dormant(module)
    yield "FIRE'd", fired(worn)
    yield "offset", offset(module)


def main(options: Options) -> None:
    """Count the false alarms on fresh networks, and the diagnoses of the known cases."""
    torch.set_num_threads(options.threads)
    alarms = 0
    for number in range(options.first, options.first + options.networks):
        kind = options.agents[number % len(options.agents)]
        bench, module = fresh_case(kind, number, options.updates)
        diagnosis = judged(bench, module)
        alarms += diagnosis.lost != "nothing"
        fit, replace = (diagnosis.readings[form].best for form in ("fit", "replace"))
        print(f"{kind} fresh {number:>3}: {diagnosis.lost}, fit {fit}, replace {replace}", flush=True)
    print(f"false alarms: {alarms} of {options.networks} fresh networks", flush=True)
    verdicts: dict[str, Counter[str]] = {}
    for kind, number in product(options.agents, range(options.known)):
        bench, make = bench_of(kind, 1_000 * number, options.updates)
        for case, module in known_cases(make(TESTED_FROM + 1_000 * number), bench, number):
            diagnosis = judged(bench, module)
            verdicts.setdefault(f"{kind} {case}", Counter())[f"{diagnosis.lost} {diagnosis.where}".strip()] += 1
            print(f"{kind} {case}\n{diagnosis}", flush=True)
    for case, found in verdicts.items():
        print(f"{case}: {', '.join(f'{count} x {verdict}' for verdict, count in found.items())}")


if __name__ == "__main__":
    main(tyro.cli(Options))
