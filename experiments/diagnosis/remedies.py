"""Try remedies on copies: how much of a run's behaviour each method keeps, and what the networks can learn after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from fire_rl import envs
from fire_rl.agents.agent import Agent
from fire_rl.agents.supervised import Supervised
from fire_rl.fire import Method, Never, PlasticityManager, Position, parse_method
from fire_rl.fire.diagnosis import FORMS, Bench
from fire_rl.fire.event import Event
from fire_rl.fire.scores import Reading, student
from fire_rl.fire.undisturbed import modes_restored
from fire_rl.training.probes import networks_of
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.vision import Vision

from .loaded_run import LoadedRun
from .subjects import SEED, Share, Subject

UNTOUCHED, FRESH = "untouched", "fresh"  # the corners of the plane
EPISODE_SEED = 4_000
AT_ONCE = 50  # updates of the recovery


@dataclass(frozen=True)
class Returns:
    """The mean return of some episodes, with a 95% interval, which a single episode does not have."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, returns: Sequence[float]) -> "Returns":
        """Return the mean of the returns, with an interval from Student's t distribution."""
        values = np.asarray(returns, dtype=float)
        half = (
            student(len(values) - 1) * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        )
        return cls(float(values.mean()), float(values.mean() - half), float(values.mean() + half))

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ({self.low:.1f} to {self.high:.1f})" if np.isfinite(self.low) else "")


@dataclass(frozen=True)
class Effect:
    """The effect of a remedy on one network."""

    kept: Share  # share of the network's behaviour that is kept at once
    kept_later: Share | None  # after the recovery
    readings: Mapping[str, Reading]
    squared_frobenius_error: float

    @property
    def trainability(self) -> Reading:
        """The lower of the two probes' readings: see `trainability`."""
        return trainability(self.readings)


@dataclass(frozen=True)
class Remedy:
    """A method that was tried on a copy."""

    name: str
    effects: Mapping[str, Effect]  # by network
    returned: Returns | None  # at once
    returned_later: Returns | None  # after the recovery

    @property
    def latest(self) -> Returns | None:
        """The return after the recovery, else the return at once."""
        return self.returned_later or self.returned


def trainability(readings: Mapping[str, Reading]) -> Reading:
    """Return the lower of the two readings, fit and replace."""
    return min((readings[form] for form in FORMS), key=lambda reading: reading.best.value)


def methods_of(loaded: LoadedRun, texts: Sequence[str]) -> dict[str, Method]:
    """Return the remedies by their texts; raise ValueError, in one line, if one cannot act on these networks."""
    found: dict[str, Method] = {}
    for text in texts:
        try:
            method = parse_method(text, loaded.config.published)
            if not method.acts_at_events:
                raise ValueError("it acts at every step; allowed are methods that act at events")
            PlasticityManager(loaded.fork().plastic(), method, Never(), inputs=loaded.work.inputs())
        except ValueError as error:
            raise ValueError(f"--remedies {text} given: {error}") from error
        found[text] = method
    return found


@dataclass(frozen=True)
class RemedyTests:
    """Tries remedies on copies of a run's learner, and measures them."""

    loaded: LoadedRun
    subjects: Sequence[Subject]
    benches: Mapping[str, Bench]
    rates: Mapping[str, Sequence[float]]  # by network: the learning rates at which remedies are probed
    episodes: int
    recovery: int  # updates

    def corners(self) -> list[Remedy]:
        """Return the two corners of the plane: the run as it is, and the run at its beginning."""
        return [self.untouched(), self._measured(FRESH, self.loaded.first_with_statistics(), None)]

    def untouched(self) -> Remedy:
        """Measure a copy of the run as it is."""
        return self._measured(UNTOUCHED, self.loaded.fork(), None)

    def tried(self, name: str, method: Method) -> Remedy:
        """Apply a method to a copy, as at an event of the run, and measure the copy."""
        learner = self.loaded.fork()
        manager = PlasticityManager(learner.plastic(), method, Never(), seed=SEED, inputs=self.loaded.work.inputs())
        position = Position(self.loaded.updates, self.loaded.step)
        event = manager.act(position, self.loaded.losses(learner))
        manager.close()
        if isinstance(learner, Supervised) and isinstance(self.loaded.work, Vision):
            self.loaded.work.refresh(learner.module)
        return self._measured(name, learner, event)

    def _measured(self, name: str, learner: Agent | Supervised, event: Event | None) -> Remedy:
        modules = {key: network.module for key, network in networks_of(learner).items()}
        at_once = {subject.name: self._kept(subject, modules[subject.name]) for subject in self.subjects}
        readings = {subject.name: self._read(name, subject, modules[subject.name]) for subject in self.subjects}
        returned = self._returns(learner)
        errors = _errors(event)
        later: dict[str, Share] = {}
        returned_later = None
        if self.recovery and not isinstance(learner, Supervised):
            self._recover(learner)
            later = {subject.name: self._kept(subject, modules[subject.name]) for subject in self.subjects}
            returned_later = self._returns(learner)
        effects = {key: Effect(at_once[key], later.get(key), readings[key], errors.get(key, 0.0)) for key in at_once}
        return Remedy(name, effects, returned, returned_later)

    def _read(self, name: str, subject: Subject, module: nn.Module) -> Mapping[str, Reading]:
        bench, rates = self.benches[subject.name], self.rates[subject.name]
        modules = [module] if name != FRESH else bench.fresh  # the networks that all others are compared with
        return {form: bench.read(form, modules, form, rates) for form in FORMS}

    @torch.no_grad()
    def _kept(self, subject: Subject, module: nn.Module) -> Share:
        batches = (*subject.data.batches, *subject.data.held_out)

        def outputs(each: nn.Module) -> Tensor:
            with modes_restored(each):
                each.eval()
                return torch.cat([subject.run(each, batch) for batch in batches])

        return subject.kept(outputs(subject.network.module), outputs(module))

    def _returns(self, learner: Agent | Supervised) -> Returns | None:
        """Return the returns of episodes, which have the same starts for every remedy."""
        work = self.loaded.work
        if not self.episodes or isinstance(learner, Supervised) or not isinstance(work, Reinforcement):
            return None
        seeds = tuple(envs.spawn_seeds(EPISODE_SEED, self.episodes))
        evaluation = replace(work.evaluation, seeds=seeds, decisions=None)
        returns, _ = evaluation.run(lambda seen: work.to_environment(learner.act(seen, explore=False)))
        return Returns.of(returns.tolist())

    def _recover(self, learner: Agent) -> None:
        """Continue the agent's normal training for some updates, on the transitions in the replay."""
        work, generator = self.loaded.work, torch.Generator().manual_seed(SEED + 3)
        assert isinstance(work, Reinforcement)
        for done in range(0, self.recovery, AT_ONCE):
            count = min(AT_ONCE, self.recovery - done)
            batches = work.replay.sample(count, self.loaded.config.by_name()["batch_size"], generator)
            learner.update(batches.to(work.device))


def _errors(event: Event | None) -> dict[str, float]:
    """Return the squared Frobenius error of all matrices of each network."""
    reports = event.networks if event else ()
    return {report.name: sum(matrix.squared_frobenius_error for matrix in report.matrices) for report in reports}


def frontier(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names of the points that no other point beats in both directions, from left to right."""
    best: list[str] = []
    for name in sorted(points, key=lambda name: (-points[name][0], -points[name][1])):
        if not best or points[name][1] > points[best[-1]][1]:
            best.append(name)
    return best[::-1]
