"""What the findings advise: leave the run alone, a method and why, or another learning rate; with the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fire_rl.fire.diagnosis import Diagnosis
from fire_rl.place import typed
from fire_rl.training.learners import command_name
from fire_rl.training.trust import trust_words

from .patient import Patient
from .remedies import FRESH, UNTOUCHED, Remedy


@dataclass(frozen=True)
class Advice:
    """What to do, why, and the command that does it."""

    choice: str  # a method, or what else
    reason: str
    command: str


def advice_on(patient: Patient, diagnoses: Mapping[str, Diagnosis], remedies: Sequence[Remedy]) -> Advice:
    lost = {name: each for name, each in diagnoses.items() if each.lost in ("unlearning", "fitting")}
    if not lost:
        slow = [each for each in diagnoses.values() if each.lost == "at its own rate"]
        return _other_rate(patient, slow[0]) if slow else _leave(patient)
    tried = [remedy for remedy in remedies if remedy.name not in (UNTOUCHED, FRESH)]
    if not tried:
        again = typed("diagnose", f"{patient.run}@{patient.step}", "--remedies", "fire", "reset", "shrink-perturb")
        return Advice("try remedies", "something is lost, and no remedy was tried on a copy", again)
    curing = [remedy for remedy in tried if not any(remedy.effects[name].trainability.best.lost for name in lost)]
    if curing:
        chosen, why = max(curing, key=_stays), "it restores what is lost, and of those that do it keeps the most"
    else:
        chosen = max(tried, key=lambda remedy: min(remedy.effects[name].trainability.best.value for name in lost))
        why = "no remedy that was tried restores all that is lost; it restores the most"
    return Advice(chosen.name, f"{why} ({_said(chosen, lost)})", _branch(patient, chosen.name))


def _stays(remedy: Remedy) -> float:
    """How much of the run is there with it: the return after the recovery, or at once, or what is kept on examples."""
    returned = remedy.returned_later or remedy.returned
    if returned is not None:
        return returned.mean
    shares = [(effect.kept_later or effect.kept).value for effect in remedy.effects.values()]
    return min(shares)


def _said(remedy: Remedy, lost: Mapping[str, Diagnosis]) -> str:
    facts = [f"{name}: trainability {remedy.effects[name].trainability.best}" for name in lost]
    if remedy.returned is not None:
        facts.append(f"return {remedy.returned} at once")
    if remedy.returned_later is not None:
        facts.append(f"{remedy.returned_later} after the recovery")
    return "; ".join(facts)


def _leave(patient: Patient) -> Advice:
    further = _further(patient)
    words = ["--config", patient.run, "--seed", patient.config.run.seed + 1]
    if further is not None:
        words = ["--resume", patient.run, *further]
    return Advice("leave it alone", "nothing is lost that a method could give back", _typed(patient, *words))


def _further(patient: Patient) -> list[object] | None:
    """What lets the run go on from this step; None where it has come to the end of its data."""
    run = patient.config.run
    if patient.step < run.steps:
        return []
    longer = min(2 * run.steps, run.longest or 2 * run.steps)
    return ["--steps", longer] if longer > run.steps else None


def _other_rate(patient: Patient, slow: Diagnosis) -> Advice:
    rate = min(slow.readings[form].best.rate for form in ("fit", "replace"))
    command = _typed(patient, "--config", patient.run, "--learning-rate", f"{rate:g}")
    reason = f"{slow.network} learns like a fresh network at learning rate {rate:g}, and not at its own"
    return Advice(f"learning rate {rate:g}", f"{reason}; a branch keeps its trunk's, so this is a new run", command)


def _branch(patient: Patient, method: str) -> str:
    further = _further(patient)
    if further is None:
        return _typed(patient, "--config", patient.run, "--reinit", method)
    return _typed(patient, "--branch-from", f"{patient.run}@{patient.step}", "--reinit", method, *further)


def _typed(patient: Patient, *words: object) -> str:
    return typed(command_name(patient.config), *words, *trust_words(patient.config, patient.run))
