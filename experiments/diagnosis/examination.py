"""Examine one checkpoint: probe its networks, try the remedies, and collect the findings."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fire_rl import __version__
from fire_rl.fire import Method
from fire_rl.fire.diagnosis import Bench, Diagnosis, examine
from fire_rl.fire.event import finite
from fire_rl.fire.probe import Probe
from fire_rl.fire.scores import Reading
from fire_rl.training.learners import name_of

from .advice import Advice, advice_on
from .loaded_run import LoadedRun
from .remedies import Effect, Remedy, RemedyTests, frontier, trainability
from .subjects import Subject, subjects_of

Say = Callable[[str], object]


@dataclass(frozen=True)
class Asked:
    """What to examine: the probe, the remedies, and how they are measured."""

    probe: Probe
    remedies: Mapping[str, Method]
    episodes: int
    recovery: int


@dataclass(frozen=True)
class Examination:
    """The findings about one checkpoint."""

    run: Path
    step: int
    updates: int
    learner: str
    task: str
    diagnoses: Mapping[str, Diagnosis]
    nexts: Mapping[str, Mapping[str, tuple[str, Reading]]]  # by network and task: the task's meaning, and the reading
    kept_meaning: Mapping[str, str]
    remedies: Sequence[Remedy]
    advice: Advice
    asked: Asked
    seconds: float

    @property
    def verdict(self) -> str:
        """The sentences about all networks."""
        return " ".join(diagnosis.sentence for diagnosis in self.diagnoses.values())

    def to_json(self) -> dict[str, Any]:
        """Return the findings as strict JSON, without the curves of remedies."""
        networks = {}
        for name, each in self.diagnoses.items():
            nexts = {key: {"meaning": said, **found.to_json()} for key, (said, found) in self.nexts[name].items()}
            networks[name] = {**each.to_json(), "trainability": trainability(each.readings).best.value, "next": nexts}
        return dict(finite({
            "version": __version__, "run": str(self.run), "step": self.step, "updates": self.updates,
            "learner": self.learner, "task": self.task, "verdict": self.verdict, "advice": asdict(self.advice),
            "seconds": self.seconds, "probe": asdict(self.asked.probe), "episodes": self.asked.episodes,
            "recovery_updates": self.asked.recovery, "networks": networks,
            "remedies": [_of_remedy(remedy) for remedy in self.remedies],
            "frontier": {name: self.frontier(name) for name in self.diagnoses} if self.remedies else {},
        }))  # fmt: skip

    def frontier(self, network: str) -> list[str]:
        """Return the remedies that no other remedy beats in both the share kept and trainability."""
        effects = {remedy.name: remedy.effects[network] for remedy in self.remedies}
        return frontier({name: (each.kept.value, each.trainability.best.value) for name, each in effects.items()})


def examine_run(loaded: LoadedRun, asked: Asked, say: Say) -> Examination:
    """Probe every network, then try the remedies; `say` gets a line after each part."""
    began = time.perf_counter()
    subjects = subjects_of(loaded)
    benches = {subject.name: subject.bench(loaded, asked.probe) for subject in subjects}
    diagnoses: dict[str, Diagnosis] = {}
    nexts: dict[str, dict[str, tuple[str, Reading]]] = {}
    for subject in subjects:
        bench = benches[subject.name]
        diagnoses[subject.name] = examine(subject.network.module, subject.name, bench, subject.layers(bench.fresh[0]))
        nexts[subject.name] = _nexts(subject, bench, diagnoses[subject.name], say)
        say(f"{subject.name}: probed ({time.perf_counter() - began:.0f} s)")
    rates = {name: (diagnosis.readings["fit"].best.fresh_rate,) for name, diagnosis in diagnoses.items()}
    tests = RemedyTests(loaded, subjects, benches, rates, asked.episodes, asked.recovery)
    remedies: list[Remedy] = []
    if asked.remedies:
        remedies += tests.corners()
    for name, method in asked.remedies.items():
        remedies.append(tests.tried(name, method))
        say(f"{name}: tried on a copy ({time.perf_counter() - began:.0f} s)")
    meanings = {subject.name: subject.kept_meaning for subject in subjects}
    advice = advice_on(loaded, diagnoses, remedies, asked.probe)
    return Examination(
        loaded.run, loaded.step, loaded.updates, name_of(loaded.config), loaded.config.run.env, diagnoses, nexts,
        meanings, remedies, advice, asked, time.perf_counter() - began,
    )  # fmt: skip


def _nexts(subject: Subject, bench: Bench, diagnosis: Diagnosis, say: Say) -> dict[str, tuple[str, Reading]]:
    """Return the readings of the tasks with the run's own targets, at the best rate of fresh networks."""
    rate = diagnosis.readings["replace"].best.fresh_rate
    found = {}
    for name, following in subject.nexts.items():
        other = bench.on(following.data, following.run)
        try:
            reading = other.read(name, [subject.network.module], "given", (rate,), following.task)
        except ValueError:
            why = f"fresh networks learn nothing of it in {bench.probe.updates} updates at learning rate {rate:g}"
            say(f"{subject.name}: {following.meaning}: left out, because {why}")
            continue
        found[name] = (following.meaning, reading)
    return found


def _of_effect(effect: Effect) -> dict[str, Any]:
    return {
        "kept": effect.kept._asdict(),
        "kept_after_recovery": None if effect.kept_later is None else effect.kept_later._asdict(),
        "squared_frobenius_error": effect.squared_frobenius_error,
        "trainability": asdict(effect.trainability.best),
        "readings": {form: asdict(reading.best) for form, reading in effect.readings.items()},
    }


def _of_remedy(remedy: Remedy) -> dict[str, Any]:
    return {
        "name": remedy.name,
        "return": None if remedy.returned is None else asdict(remedy.returned),
        "return_after_recovery": None if remedy.returned_later is None else asdict(remedy.returned_later),
        "networks": {name: _of_effect(effect) for name, effect in remedy.effects.items()},
    }
