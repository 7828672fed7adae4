"""Times the measures of plasticity, as a share of the time of the updates between two measurements.

    python -m benchmarks.measures [--threads 2] [--examples 256] [--hessian]

Each agent measures all its networks after every 1,000 updates. Updates and measurements are timed in turns, and the
best time of each is used. The share in a whole run is smaller, because replay and environments are not timed here. The
floor of `spectra` is the time of the products of its Gram matrices in float64 at the best rate for their shapes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor

from fire_rl.agents import DQN, SAC, AgentSettings, DQNSettings, SACSettings
from fire_rl.agents.captured import products_in
from fire_rl.fire import Network, Watch, hidden_layers, measure, take_inventory
from fire_rl.fire.activity import HeadInput, feature_measures, unit_measures
from fire_rl.fire.spectra import gram_measures
from fire_rl.fire.weights import norms, weight_measures, weights_with_matrices
from fire_rl.replay import Batch
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.learners import LEARNERS
from fire_rl.training.memory import keep_large_blocks
from fire_rl.training.ranks import affordable, wanted_examples

from .sac_update import flat_batch
from .timing import best, seconds

UPDATES = 1_000  # from one measurement to the next
GROUPS = ("targets", "forward", "backward", "units", "ranks", "spectra", "norms")
Name = Literal["sac", "sac-quick", "nature", "minatar-quick"]


@dataclass(frozen=True)
class Options:
    """The options; the sizes of observations and actions are those of h1-walk, Breakout and MinAtar/Breakout-v1."""

    threads: int = 2
    """CPU threads."""
    agents: tuple[Name, ...] = ("sac", "sac-quick", "nature", "minatar-quick")
    """Which agents: the published SAC, its quick preset, the published DQN, its quick preset."""
    examples: int = 256
    """Transitions that a measurement uses."""
    rounds: int = 8
    """Alternating rounds of updates and measurements; the best time of each is used."""
    hessian: bool = False
    """Also time the top eigenvalue of the Hessian, once."""
    device: str = "cpu"
    """cpu or cuda."""


def image_batch(shape: tuple[int, ...], actions: int, lead: tuple[int, ...], device: torch.device) -> Batch:
    """Return random transitions of a game, with values 0 and 1 for MinAtar's planes and 0 to 255 for Atari's pixels."""
    values = 256 if shape[-1] > 10 else 2
    return Batch(
        torch.randint(values, (*lead, *shape), dtype=torch.uint8, device=device),
        torch.randint(actions, lead, device=device),
        torch.randn(lead, device=device).sign(),
        torch.randint(values, (*lead, *shape), dtype=torch.uint8, device=device),
        torch.zeros(lead, device=device),
        torch.ones(lead, device=device),
    )


@dataclass(frozen=True)
class Subject:
    """An agent with the batches of one call of `update` and the examples of one measurement."""

    agent: SAC | DQN
    batches: Batch
    examples: Batch
    more: Batch  # further examples, for the ranks of features
    counts: Mapping[str, int]  # how many of these each network uses

    def update(self) -> None:
        """Do the updates of one call."""
        self.agent.update(self.batches)

    def measure(self, hessian: bool = False) -> None:
        """Measure all networks once."""
        losses, runs = self.agent.losses(self.examples, 0), self.agent.runs(self.more, self.counts)
        for network in self.agent.plastic():
            measure(network, hessian=hessian, loss=losses[network.name], run=runs.get(network.name))


def settings_of(agent: str, preset: str) -> AgentSettings:
    """Return an agent's settings in one of its presets."""
    config = LEARNERS[agent].presets[preset].config
    assert isinstance(config, AgentRun)
    settings: AgentSettings = config.agent
    return settings


def make_subject(name: Name, examples: int, device: torch.device) -> Subject:
    """Return an agent with its batches; a call of `update` has as many batches as in the training loop."""
    seed = np.random.SeedSequence(0)
    if name in ("sac", "sac-quick"):
        settings = settings_of("sac", "paper" if name == "sac" else "quick")
        assert isinstance(settings, SACSettings)
        agent = SAC(51, 19, settings, seed=seed, device=device)
        return subject_of(agent, flat_batch, (2, settings.batch_size), examples, device)
    published = name == "nature"
    choice = settings_of("dqn", "paper" if published else "quick")
    assert isinstance(choice, DQNSettings)
    shape, actions, scale = ((4, 84, 84), 4, 1 / 255) if published else ((4, 10, 10), 3, 1.0)
    images = partial(image_batch, shape, actions)
    player = DQN(shape, actions, choice, seed=seed, scale=scale, device=device)
    return subject_of(player, images, (4, choice.batch_size), examples, device)


def subject_of(
    agent: SAC | DQN,
    make: Callable[[tuple[int, ...], torch.device], Batch],
    lead: tuple[int, int],
    examples: int,
    device: torch.device,
) -> Subject:
    """Return the agent with random batches and examples."""
    counts = affordable(wanted_examples(agent.plastic()), lead[1], UPDATES, device)
    more = make((max(counts.values(), default=1),), device)
    return Subject(agent, make(lead, device), make((examples,), device), more, counts)


def split_up(subject: Subject, device: torch.device) -> dict[str, float]:
    """Return the seconds of each part of a measurement, summed over networks; the steps are those of `measure`."""
    times = dict.fromkeys(GROUPS, 0.0)

    def timed(group: str, call: Callable[[], Any]) -> Any:
        results: list[Any] = []
        times[group] += seconds(lambda: results.append(call()), device)
        return results[0]

    losses = timed("targets", partial(subject.agent.losses, subject.examples, 0))
    runs = subject.agent.runs(subject.more, subject.counts)
    for network in subject.agent.plastic():
        module, matrices = network.module, take_inventory(network.module).matrices
        trained = dict(module.named_parameters())
        weights = weights_with_matrices(trained, matrices)
        with Watch(module, hidden_layers(module)) as watch, HeadInput(network) as head_input:
            loss = timed("forward", losses[network.name])
            timed("units", partial(unit_measures, watch))
        if network.name in runs:
            with HeadInput(network) as head_input:
                timed("ranks", runs[network.name])
        assert head_input.latest is not None
        timed("ranks", partial(feature_measures, head_input.latest))
        gradients = timed("backward", partial(torch.autograd.grad, loss, list(trained.values())))
        timed("spectra", partial(gram_measures, matrices))
        timed("norms", partial(norms, "gradient_norm", dict(zip(trained, gradients, strict=True)), weights))
        timed("norms", partial(weight_measures, network, trained, weights, None))
    return times


def gram_products(networks: Iterable[Network], device: torch.device) -> dict[tuple[int, int, int], list[Tensor]]:
    """Return operands with the sizes of those of the Gram matrices, by number of matrices and shape."""
    counts: Counter[tuple[int, int]] = Counter()
    for network in networks:
        for matrix in take_inventory(network.module).matrices:
            short, long = sorted((matrix.d_out, matrix.d_in))
            counts[short, long] += matrix.view.numel() // (short * long)
    return {
        (count, short, long): [
            torch.randn(count, short, long, dtype=torch.float64, device=device),
            torch.randn(count, long, short, dtype=torch.float64, device=device),
        ]
        for (short, long), count in counts.items()
    }


def run(name: Name, options: Options, device: torch.device) -> None:
    """Time one agent and print its line of the table."""
    subject = make_subject(name, options.examples, device)
    products = gram_products(subject.agent.plastic(), device)
    updates = subject.batches.rewards.shape[0]
    subject.update()
    update, measurement, floor = float("inf"), float("inf"), dict.fromkeys(products, float("inf"))
    parts = dict.fromkeys(GROUPS, float("inf"))
    for _ in range(options.rounds):
        update = min(update, best([subject.update], device) / updates)
        measurement = min(measurement, best([subject.measure], device, repeats=1))
        for group, value in split_up(subject, device).items():
            parts[group] = min(parts[group], value)
        for shape, operands in products.items():
            floor[shape] = min(floor[shape], best([partial(torch.bmm, *operands)], device))
    share = 100 * measurement / (UPDATES * update)
    print(f"{name:14s} {measurement:12.4f} {UPDATES * update:14.2f} {share:8.2f}% {measurement / update:9.1f}", end="")
    print("".join(f"{1e3 * parts[group]:10.1f}" for group in GROUPS) + f"{1e3 * sum(floor.values()):10.1f}", flush=True)
    if options.hessian:
        whole = seconds(partial(subject.measure, hessian=True), device)
        print(f"{'':14s} {whole:12.4f} with the Hessian, {100 * whole / (UPDATES * update):.1f}%", flush=True)


@products_in("float32")
def main(options: Options) -> None:
    """Print the table."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"Measures on {options.examples} examples, {options.threads} threads, {device}; milliseconds of each part")
    print(f"{'agent':14s} {'seconds':>12s} {'1,000 updates':>14s} {'share':>9s} {'updates':>9s}", end="")
    print("".join(f"{group:>10s}" for group in GROUPS) + f"{'floor':>10s}")
    for name in options.agents:
        run(name, options, device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
