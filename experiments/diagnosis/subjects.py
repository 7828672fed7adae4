"""How each network of a run is probed: its examples, how it is run, what counts as kept, and its own tasks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fire_rl.agents import DQN, SAC
from fire_rl.agents.supervised import Supervised
from fire_rl.fire import Network, first_not_finite
from fire_rl.fire.diagnosis import Bench
from fire_rl.fire.matrices import last_layers
from fire_rl.fire.probe import Data, Inputs, MakeOptimizer, Probe, Run, Task, optimizer_like
from fire_rl.replay import Batch
from fire_rl.training.probes import BATCH_SIZE, BATCHES, FEWEST, different_batches, networks_of, whole_batches
from fire_rl.training.reinforcement import Reinforcement

from .loaded_run import LoadedRun

NEWEST_SHARE = 8  # the newest data is the newest eighth of the replay
SEED = 20_260  # for drawing the examples

Kept = Callable[[Tensor, Tensor], "Share"]


class Share(NamedTuple):
    """A share with a 95% interval over the examples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Next:
    """A task with the run's own targets: its meaning, its batches, how the network is run on them, and the targets."""

    meaning: str
    data: Data
    run: Run
    task: Task


@dataclass(frozen=True)
class Subject:
    """One network of the run, with everything that its probes need."""

    network: Network
    data: Data
    run: Run
    kept: Kept
    kept_meaning: str
    optimizer: MakeOptimizer
    rate: float
    nexts: Mapping[str, Next] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The network's name."""
        return self.network.name

    def layers(self, fresh: nn.Module) -> tuple[str, ...]:
        """Return the names of the last layers; none if an event has changed the network's structure."""
        same = self.network.module.state_dict().keys() == fresh.state_dict().keys()
        return tuple(last_layers(self.network.module, self.network.head)) if same else ()

    def bench(self, loaded: LoadedRun, probe: Probe) -> Bench:
        """Return the fresh networks and new functions for this network's probes."""

        def fresh(number: int) -> nn.Module:
            return networks_of(loaded.drawn(number))[self.name].module

        return Bench(fresh, self.data, self.run, optimizer=self.optimizer, rate=self.rate, probe=probe)


def subjects_of(loaded: LoadedRun) -> list[Subject]:
    """Return every network of the run with its examples; raise ValueError if one has diverged."""
    networks = networks_of(loaded.learner)
    for name, network in networks.items():
        if found := first_not_finite(network.module.named_parameters()):
            raise ValueError(f"{loaded.run}: network {name!r} holds {found[1]} in {found[0]}: it has diverged")
    if isinstance(learner := loaded.learner, SAC):
        return _of_sac(loaded, learner, networks)
    if isinstance(learner, DQN):
        return _of_dqn(loaded, learner, networks)
    assert isinstance(learner, Supervised)
    return _of_vision(loaded, networks)


def _of_dqn(loaded: LoadedRun, agent: DQN, networks: Mapping[str, Network]) -> list[Subject]:
    batches, newest = _batches(loaded)
    inputs = agent.probed(batches)["q"]

    def chosen(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return module(batch[0]).gather(1, batch[1].unsqueeze(1))

    def task(name: str, given: Batch, sign: float) -> Next:
        targets = sign * agent.targets(given).unsqueeze(-1)
        pairs = tuple(zip(given.observations.unbind(), given.actions.unbind(), strict=True))
        return _next(name, pairs, chosen, targets.unbind())

    nexts = _nexts(task, batches, newest)
    return [_subject(networks["q"], inputs, same_choice, "agreement of greedy actions beyond chance", agent, nexts)]


def _of_sac(loaded: LoadedRun, agent: SAC, networks: Mapping[str, Network]) -> list[Subject]:
    raw = _batches(loaded)
    inputs, (batches, newest) = agent.probed(raw[0]), (agent.normalised(given) for given in raw)
    acting, valuing, members = inputs["actor"], inputs["critic"], agent.settings.critics

    def task(name: str, given: Batch, sign: float) -> Next:
        alpha = agent.temperature
        targets = [sign * agent.critic_targets(each, noise, alpha) for each, noise in _with_noise(agent, given)]
        columns = [target.unsqueeze(-1).expand(-1, members) for target in targets]
        pairs = zip(given.observations.unbind(), given.actions.unbind(), strict=True)
        return _next(name, pairs, valuing.run, columns)

    nexts = _nexts(task, batches, newest)
    with torch.no_grad():
        mirrored = [-acting.run(agent.actor, each) for each in acting.batches]
    turned = {"flipped": _next("the opposite of its own actions", acting.batches, acting.run, mirrored)}
    return [
        _subject(networks["actor"], acting, same_actions, "share of the variance of its actions", agent, turned),
        _subject(networks["critic"], valuing, same_values, "share of the variance of its values", agent, nexts),
    ]


def _of_vision(loaded: LoadedRun, networks: Mapping[str, Network]) -> list[Subject]:
    assert not isinstance(loaded.work, Reinforcement)
    images = whole_batches(loaded.work.examples(BATCHES * BATCH_SIZE, SEED)[0])
    (network,) = networks.values()
    rate = loaded.config.learning_rate
    assert rate is not None
    assert isinstance(loaded.learner, Supervised)
    given = loaded.learner.probed(images)[network.name]
    data = Data.joined(given.batches)
    make = optimizer_like(network.optimizer)
    return [Subject(network, data, given.run, same_choice, "agreement of predicted classes beyond chance", make, rate)]


def _subject(
    network: Network, inputs: Inputs, kept: Kept, meaning: str, agent: DQN | SAC, nexts: Mapping[str, Next]
) -> Subject:
    make, data = optimizer_like(network.optimizer), Data.joined(inputs.batches)
    return Subject(network, data, inputs.run, kept, meaning, make, agent.settings.learning_rate, nexts)


def _nexts(task: Callable[[str, Batch, float], Next], batches: Batch, newest: Batch) -> dict[str, Next]:
    return {
        "flipped": task("the opposite of its own targets", batches, -1.0),
        "newest": task("one block of its own targets on the newest data", newest, 1.0),
    }


def _next(meaning: str, batches: Any, run: Run, targets: Any) -> Next:
    data, goals = Data.joined(tuple(batches)), Data.joined(tuple(targets))
    return Next(meaning, data, run, Task(goals.batches, goals.held_out))


def _batches(loaded: LoadedRun) -> tuple[Batch, Batch]:
    """Return batches from the whole replay, and batches from its newest part."""
    assert isinstance(loaded.work, Reinforcement)
    replay, device = loaded.work.replay, loaded.work.device
    newest = max(FEWEST * BATCH_SIZE, len(replay) // NEWEST_SHARE)
    return (
        different_batches(replay, torch.Generator().manual_seed(SEED), len(replay)).to(device),
        different_batches(replay, torch.Generator().manual_seed(SEED + 1), newest).to(device),
    )


def _with_noise(agent: SAC, batch: Batch) -> list[tuple[Batch, Tensor]]:
    noise = torch.randn(*batch.rewards.shape, agent.action_size, generator=torch.Generator().manual_seed(SEED + 2))
    parts = [Batch(*(tensor[number] for tensor in batch)) for number in range(len(batch.rewards))]
    return list(zip(parts, noise.to(agent.device).unbind(), strict=True))


# Shares of a network's behaviour that are kept


def same_choice(before: Tensor, after: Tensor) -> Share:
    """Return the agreement of the largest outputs beyond chance, Cohen's kappa: 0 if the choices are unrelated."""
    first, second = before.argmax(-1), after.argmax(-1)
    count, outputs = len(first), before.shape[-1]
    shares = [torch.bincount(choice, minlength=outputs) / count for choice in (first, second)]
    chance = float((shares[0] * shares[1]).sum())
    same = float((first == second).double().mean())
    half = 1.96 * math.sqrt(same * (1 - same) / count)
    if chance > 1 - 1e-6:
        return Share(1.0, 1.0, 1.0)
    return Share(*((value - chance) / (1 - chance) for value in (same, same - half, same + half)))


def same_values(before: Tensor, after: Tensor) -> Share:
    """Return 1 - mean square of the change / variance before the change, at least 0: 1 if nothing has changed."""
    spread = (before - before.mean(0)).square().mean().clamp_min(1e-12)
    changes = (after - before).square().mean(-1) / spread
    half = 1.96 * float(changes.std()) / math.sqrt(len(changes))
    value = 1.0 - float(changes.mean())
    return Share(*(max(0.0, each) for each in (value, value - half, value + half)))


def same_actions(before: Tensor, after: Tensor) -> Share:
    """Return the same share for squashed actions."""
    return same_values(before.tanh(), after.tanh())
