"""The advice that follows from a diagnosis: no change, a method, or another learning rate; with the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fire_rl.fire.diagnosis import Diagnosis
from fire_rl.place import typed
from fire_rl.training.learners import command_name
from fire_rl.training.trust import trust_words

from .loaded_run import LoadedRun
from .remedies import FRESH, UNTOUCHED, Remedy


@dataclass(frozen=True)
class Advice:
    """What to do, why, and the command that does it."""

    choice: str  # a method, or the words for other advice
    reason: str
    command: str


def advice_on(loaded: LoadedRun, diagnoses: Mapping[str, Diagnosis], remedies: Sequence[Remedy]) -> Advice:
    """Return what to do with a run, given its networks' diagnoses and the remedies that were tried."""
    lost = {name: each for name, each in diagnoses.items() if each.lost in ("unlearning", "fitting")}
    if not lost:
        slow = [each for each in diagnoses.values() if each.lost == "at its own rate"]
        return _other_rate(loaded, slow[0]) if slow else _leave(loaded)
    tried = [remedy for remedy in remedies if remedy.name not in (UNTOUCHED, FRESH)]
    if not tried:
        again = typed("diagnose", f"{loaded.run}@{loaded.step}", "--remedies", "fire", "reset", "shrink-perturb")
        return Advice("try remedies", "plasticity is lost, and no remedy was tried on a copy", again)
    restoring = [remedy for remedy in tried if not any(remedy.effects[name].trainability.best.lost for name in lost)]
    if restoring:
        chosen = max(restoring, key=_stays)
        by = "has the best return" if chosen.returned is not None else "keeps the most"
        why = f"it restores what is lost, and it {by} among the remedies that do"
    else:
        chosen = max(tried, key=lambda remedy: min(remedy.effects[name].trainability.best.value for name in lost))
        why = "no remedy that was tried restores all that is lost; this one restores the most"
    return Advice(chosen.name, f"{why} ({_said(chosen, lost)})", _branch(loaded, chosen.name))


def _stays(remedy: Remedy) -> float:
    """Return how much a remedy keeps: the return after the recovery, else the return at once, else the share kept."""
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


def _leave(loaded: LoadedRun) -> Advice:
    further = _further(loaded)
    words = ["--config", loaded.run, "--seed", loaded.config.run.seed + 1]
    if further is not None:
        words = ["--resume", loaded.run, *further]
    return Advice("leave it alone", "nothing is lost that a method could restore", _typed(loaded, *words))


def _further(loaded: LoadedRun) -> list[object] | None:
    """Return the flags with which the run can go on from this step; None if it is at the end of its data."""
    run = loaded.config.run
    if loaded.step < run.steps:
        return []
    longer = min(2 * run.steps, run.longest or 2 * run.steps)
    return ["--steps", longer] if longer > run.steps else None


def _other_rate(loaded: LoadedRun, slow: Diagnosis) -> Advice:
    rate = min(slow.readings[form].best.rate for form in ("fit", "replace"))
    command = _typed(loaded, "--config", loaded.run, "--learning-rate", f"{rate:g}")
    reason = f"{slow.network} learns like a fresh network at learning rate {rate:g}, and not at its own"
    reason += "; a branch keeps its trunk's rate, so this command begins a new run"
    return Advice(f"learning rate {rate:g}", reason, command)


def _branch(loaded: LoadedRun, method: str) -> str:
    further = _further(loaded)
    if further is None:
        return _typed(loaded, "--config", loaded.run, "--reinit", method)
    return _typed(loaded, "--branch-from", f"{loaded.run}@{loaded.step}", "--reinit", method, *further)


def _typed(loaded: LoadedRun, *words: object) -> str:
    return typed(command_name(loaded.config), *words, *trust_words(loaded.config, loaded.run))
