"""The advice that follows from a diagnosis: no change, a method, or another learning rate; with the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fire_rl.fire.diagnosis import FORMS, Diagnosis
from fire_rl.fire.probe import MOST_SEEDS, Probe
from fire_rl.fire.scores import LOSS
from fire_rl.place import typed
from fire_rl.training.checkpoint import steps_of
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


def advice_on(
    loaded: LoadedRun, diagnoses: Mapping[str, Diagnosis], remedies: Sequence[Remedy], probe: Probe
) -> Advice:
    """Return what to do with a run, given its networks' diagnoses and the remedies that were tried."""
    lost = {name: each for name, each in diagnoses.items() if each.lost in ("unlearning", "fitting")}
    if not lost:
        return _without_loss(loaded, list(diagnoses.values()), probe)
    tried = [remedy for remedy in remedies if remedy.name not in (UNTOUCHED, FRESH)]
    if not tried:
        return Advice(
            "try remedies", "plasticity is lost, and no remedy was tried on a copy",
            _again(loaded, "--remedies", "fire", "reset", "shrink-perturb"),
        )  # fmt: skip
    restoring = [remedy for remedy in tried if _restores(remedy, lost)]
    if restoring:
        chosen = max(restoring, key=_stays)
        by = "has the best return" if chosen.returned is not None else "keeps the most"
        why = f"it restores what is lost, and it {by} among the remedies that do"
        if alike := [each.name for each in restoring if each is not chosen and _overlap(each, chosen)]:
            why += f"; that of {' and '.join(alike)} is not clearly lower"
    else:
        chosen = max(tried, key=lambda remedy: min(each.trainability.best.value for each in remedy.effects.values()))
        why = "no remedy that was tried restores all that is lost; this one restores the most"
    command, note = _branch(loaded, chosen.name)
    return Advice(chosen.name, f"{why} ({_said(chosen, lost)}){note}", command)


def _without_loss(loaded: LoadedRun, diagnoses: Sequence[Diagnosis], probe: Probe) -> Advice:
    unsettled = [each.network for each in diagnoses if each.lost == "not settled"]
    if unsettled:
        more = ("--seeds", MOST_SEEDS) if probe.seeds < MOST_SEEDS else ("--updates", 2 * probe.updates)
        why = f"the scores of {' and '.join(unsettled)} are too uncertain for a verdict"
        return Advice("measure again", why, _again(loaded, *more))
    for each in diagnoses:
        if each.lost == "at its own rate" and (rate := _other_rate(each)) is not None:
            why = f"{each.network} learns like a fresh network at learning rate {rate:g}, and not at its own"
            why += "; the flag sets the rate of every network" if len(diagnoses) > 1 else ""
            why += "; a branch keeps its trunk's rate, so this command begins a new run"
            return Advice(
                f"learning rate {rate:g}", why, _typed(loaded, "--config", loaded.run, "--learning-rate", f"{rate:g}")
            )
    return _leave(loaded)


def _restores(remedy: Remedy, lost: Mapping[str, Diagnosis]) -> bool:
    """Whether no network has a loss after the remedy, and those that had one have both scores of a healthy network."""
    healthy = all(reading.best.value >= LOSS for name in lost for reading in remedy.effects[name].readings.values())
    return healthy and not any(
        reading.lost for effect in remedy.effects.values() for reading in effect.readings.values()
    )


def _other_rate(slow: Diagnosis) -> float | None:
    """Return the best rate of a probe that is lost at the training's own rate; None if it is that rate itself."""
    found = [slow.readings[form].best.rate for form in FORMS if slow.readings[form].lost_at_own]
    return next((rate for rate in found if rate != slow.own_rate), None)


def _overlap(one: Remedy, other: Remedy) -> bool:
    """Whether the returns of two remedies have intervals that overlap."""
    ours, theirs = one.latest, other.latest
    return ours is not None and theirs is not None and ours.low <= theirs.high and theirs.low <= ours.high


def _stays(remedy: Remedy) -> float:
    """Return how much a remedy keeps: the return after the recovery, else the return at once, else the share kept."""
    if remedy.latest is not None:
        return remedy.latest.mean
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
    why = "nothing is lost that a method could restore"
    newest = steps_of(loaded.run)[-1]
    if loaded.step < newest:
        why += f"; the run has gone on since, to step {newest:,}"
        return Advice("leave it alone", why, typed("diagnose", loaded.run, *trust_words(loaded.config, loaded.run)))
    further = _further(loaded)
    words = ["--config", loaded.run, "--seed", loaded.config.run.seed + 1]
    if further is not None:
        words = ["--resume", loaded.run, *further]
    return Advice("leave it alone", why, _typed(loaded, *words))


def _further(loaded: LoadedRun) -> list[object] | None:
    """Return the flags with which the run can go on from this step; None if it is at the end of its data."""
    run = loaded.config.run
    if loaded.step < run.steps:
        return []
    longer = min(2 * run.steps, run.longest or 2 * run.steps)
    return ["--steps", longer] if longer > run.steps else None


def _branch(loaded: LoadedRun, method: str) -> tuple[str, str]:
    """Return the command that continues with a method, and a note if it cannot continue from here."""
    further = _further(loaded)
    if further is None:
        note = "; the run is at the end of its data, so this command begins a new run"
        return _typed(loaded, "--config", loaded.run, "--reinit", method), note
    return _typed(loaded, "--branch-from", f"{loaded.run}@{loaded.step}", "--reinit", method, *further), ""


def _again(loaded: LoadedRun, *words: object) -> str:
    return typed("diagnose", f"{loaded.run}@{loaded.step}", *words, *trust_words(loaded.config, loaded.run))


def _typed(loaded: LoadedRun, *words: object) -> str:
    return typed(command_name(loaded.config), *words, *trust_words(loaded.config, loaded.run))
