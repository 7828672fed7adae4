"""Examine a run's checkpoint: can its networks still learn, which method restores that, and what does it cost?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fire_rl.agents.captured import products_in
from fire_rl.experiments.diagnosis.examination import Asked, Examination, examine_run
from fire_rl.experiments.diagnosis.loaded_run import LoadedRun, load_run
from fire_rl.experiments.diagnosis.page import NUMBERS, PAGE, write_examination
from fire_rl.experiments.diagnosis.remedies import methods_of
from fire_rl.fire.probe import Probe
from fire_rl.place import program
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.command_line import read_operand
from fire_rl.training.durable import require_writable, writable
from fire_rl.training.folder import is_run
from fire_rl.training.memory import keep_large_blocks
from fire_rl.training.policy import split_run
from fire_rl.training.trust import trusted

MOST_EPISODES, MOST_UPDATES, MOST_THREADS = 1_000, 1_000_000, 1_000
RECOVERY = 500  # updates
USUAL = ("fire", "reset", "shrink-perturb", "reset-head")
USAGE = f"""Examine a run's checkpoint on copies of its networks; the run is not changed.

  {program("diagnose")} RUN                               the newest checkpoint
  {program("diagnose")} RUN@STEP --remedies fire reset redo dash shrink-perturb:keep=0.5
  {program("diagnose")} RUN --all --remedies none         every checkpoint, without remedies

  It writes {PAGE} and {NUMBERS} into the run's folder, or into --out."""


@dataclass(frozen=True)
class Options:
    """What is examined, and how."""

    all: bool = False
    """Examine every kept checkpoint; each gets its own folder, diagnosis-STEP."""
    remedies: tuple[str, ...] = USUAL
    """Methods to try on copies, written as for --reinit; none: only probe."""
    updates: int = 200
    """Gradient updates of a probe."""
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    """Learning rates of the probes; the run's own rate is added."""
    seeds: int = 5
    """Number of probe seeds, 3 to 11; each has its own fresh network and its own function to learn."""
    episodes: int = 5
    """Episodes on which the return of each remedy is measured; 0: none."""
    recovery: int | None = None
    """Updates of the agent's normal training after a remedy, before it is measured again; 0: none; unset: 500, or for
    DQN two periods of target copies if that is more."""
    threads: int = 1
    """CPU threads."""
    out: Path | None = None
    """Folder to write to; unset: the run's."""
    trust: Path | None = None
    """The run, if its config names your own environment or method: gives permission to import that Python code."""


@products_in("float32")
def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    missing = f"no run given: {program('diagnose')} RUN, or RUN@STEP"
    name, options = read_operand(Options(), arguments, "diagnose", "RUN[@STEP]", USAGE, missing)
    probe = _probe(options)
    folder, step = split_run(name)
    trust = trusted(folder, options.trust)
    if options.all and step is not None:
        raise ValueError(f"--all given with {name}; allowed is a run without a step")
    keep_large_blocks()
    torch.set_num_threads(options.threads)

    def examine(at: int | None) -> None:
        _examine(load_run(folder, at, trust, _say), probe, options, options.out or folder)

    if options.all:
        _each(folder, examine)
    else:
        examine(step)
    return 0


def _each(folder: Path, examine: Callable[[int | None], None]) -> None:
    """Examine every checkpoint; one that cannot be examined is said and skipped, unless none can be."""
    steps: list[int | None] = [*reversed(steps_of(folder) if is_run(folder) else ())] or [None]
    reasons: list[ValueError] = []
    for step in steps:
        try:
            examine(step)
        except ValueError as error:
            reasons.append(error)
            if str(error).startswith("--") or len(reasons) == len(steps):  # wrong words, or no checkpoint at all
                raise reasons[0] from None
            _say(f"warning: skipped: {error}")


def _probe(options: Options) -> Probe:
    """Return the probe that the options describe; raise ValueError, in one line, if a number is out of bounds."""
    if not 0 <= options.episodes <= MOST_EPISODES or not 0 <= (options.recovery or 0) <= MOST_UPDATES:
        raise ValueError(
            f"--episodes {options.episodes} --recovery {options.recovery} given; allowed are 0 to {MOST_EPISODES:,}, "
            f"and 0 to {MOST_UPDATES:,}"
        )
    if not 10 <= options.updates <= MOST_UPDATES:
        raise ValueError(f"--updates {options.updates} given; allowed are 10 to {MOST_UPDATES:,}")
    if not 1 <= options.threads <= MOST_THREADS:
        raise ValueError(f"--threads {options.threads} given; allowed are 1 to {MOST_THREADS:,}")
    try:
        return Probe(options.updates, options.rates, options.seeds)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def _examine(loaded: LoadedRun, probe: Probe, options: Options, folder: Path) -> None:
    texts = [text for text in dict.fromkeys(options.remedies) if text != "none"]
    remedies = methods_of(loaded, texts)
    place = folder / f"diagnosis-{loaded.step}" if options.all else folder
    with writable(place):
        place.mkdir(parents=True, exist_ok=True)
    require_writable(place)
    recovery = _recovery(loaded) if options.recovery is None else options.recovery
    examination = examine_run(loaded, Asked(probe, remedies, options.episodes, recovery), _say)
    _report(examination)
    if (place / NUMBERS).exists():
        _say(f"\n  replaced: an earlier diagnosis in {place}")
    with writable(place):
        page = write_examination(examination, place)
    _say(f"\n  page          {page}\n  numbers       {page.with_name(NUMBERS)}")


def _recovery(loaded: LoadedRun) -> int:
    """Return the length of the recovery: without a copy of DQN's target network, training would learn old values."""
    return max(RECOVERY, 2 * loaded.config.by_name().get("target_every", 0))


def _report(examination: Examination) -> None:
    print(f"\n{examination.run}, step {examination.step:,}")
    for diagnosis in examination.diagnoses.values():
        print(f"  {diagnosis.sentence}")
    if examination.remedies:
        print("\n  remedy                   network    kept at once  trainability")
    for remedy in examination.remedies:
        for network, effect in remedy.effects.items():
            score = effect.trainability.best
            print(f"  {remedy.name[:24]:24} {network[:10]:10} {effect.kept.value:>12.2f}  {score}")
    advice = examination.advice
    print(f"\n{advice.choice}: {advice.reason}\n    {advice.command}", flush=True)


def _say(line: str) -> None:
    print(line, flush=True)
