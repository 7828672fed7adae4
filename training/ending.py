"""The lines that are printed when a run ends: its result, where its files are, what to try next."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fire_rl.place import typed

from .checkpoint import steps_of
from .config import Config
from .described import read_described
from .divergence import OF_THE_ENVIRONMENT, Diverged
from .driver import Driver
from .files import METRICS
from .folder import is_run
from .learners import command_name, read_config
from .lines import EvaluationLine, Rhythm
from .policy import split_run
from .result import Ending, Result, best_of, scores_of
from .trust import trust_words


def result_of(folder: Path, config: Config, ending: Ending, step: int) -> Result:
    """Compute a run's result from its metrics."""
    lines = [line for _, line in config.reader.of(folder) if isinstance(line, EvaluationLine)]
    rhythm, metric = rhythm_of(folder, config), config.metric
    best = best_of(lines, rhythm, metric)
    if ending != "finished":
        return Result(folder, ending, step, metric, best=best)
    final, count, area = scores_of(lines, rhythm)
    return Result(folder, ending, step, metric, final, count, best, area, by_phase=any(line.by_phase for line in lines))


def rhythm_of(folder: Path, config: Config) -> Rhythm:
    """Return which evaluations of a run are scheduled, and which belong to its trunk."""
    settings, source = config.run, read_described(folder).branch_from
    own = Rhythm(settings.eval_every, settings.reached(1), settings.last_phase)
    if source is None:
        return own
    trunk, step = split_run(source)
    if step is None:  # branched from the trunk's newest checkpoint: the first event's step, or the trunk's end
        places = settings.reinit_at[:1] or ((read_config(trunk).run.steps,) if is_run(trunk) else ())
        step = places[0] if places else -1
    return replace(own, branch=settings.reached(step))


def say_where_things_are(result: Result, config: Config) -> None:
    """Print the last lines: the result, the files, what to try next."""
    folder, metric = result.folder, config.metric
    if result.final is None:
        print(f"\nno final {metric.name}: no scheduled evaluation in the last tenth of the run was recorded")
    else:
        mean = f"mean of the {result.count} scheduled evaluations"
        those = "the scheduled evaluation" if result.count == 1 else mean
        print(f"\nfinal {metric.name} {metric.said(result.final)}: {those} in the last tenth of the run")
        if score := config.score_in_words(result.final):
            print(f"  score         {score}")
    print(f"  curve         {folder / 'curve.png'}")
    if (folder / "measures.png").exists():
        print(f"  measures      {folder / 'measures.png'}")
    if result.by_phase:
        print(f"  phases        {folder / 'phases.png'}")
    print(f'  metrics       {folder / METRICS} (one JSON line each; events have kind "event")')
    print(f"  checkpoints   {folder / 'checkpoints'}")
    print(f"  TensorBoard   {shlex.join(['tensorboard', '--logdir', str(folder)])}")
    if config.run.video:
        print(f"  videos        {folder / 'videos'}")
    trust = trust_words(config, folder, evaluated=True)
    suggested = []
    if config.acts:
        suggested.append(("evaluate", typed("evaluate", folder, "--episodes", 100, *trust)))
        suggested.append(("watch", typed("watch", folder, *trust)))
    if config.run.keep_replay:
        if (longer := longer_steps(config)) is not None:
            suggested.append(("go on", command(config, "--resume", folder, "--steps", longer, trust=folder)))
        early = config.run.steps // 10  # before it there is little to branch from, as where a run was stopped at once
        for step in [step for step in steps_of(folder) if early <= step < config.run.steps][:1]:
            words = ("--branch-from", f"{folder}@{step}", "--reinit", "shrink-perturb")
            suggested.append(("branch", command(config, *words, trust=folder)))
    if suggested:
        print("try next")
    for what, line in suggested:
        print(f"  {what:13} {line}")


def longer_steps(config: Config) -> int | None:
    """Return twice the run's --steps, or as many as are possible; None if the run cannot be longer."""
    steps = config.run.steps
    longer = min(2 * steps, config.run.longest or 2 * steps)
    return longer if longer > steps else None


def divergence_line(error: Diverged, config: Config, driver: Driver) -> str:
    """Describe in one line what diverged, at which step, which checkpoint is still good, and what to try."""
    where = f"{driver.folder} diverged at step {driver.work.steps:,}, update {driver.progress.updates:,}: {error}"
    if error.quantity in OF_THE_ENVIRONMENT:
        return f"{where}; {config.run.env} gave it: look for the cause in the environment, not in the agent"
    rate, other = config.learning_rate, f"without {config.run.method}, or " if driver.manager.acts_every_step else ""
    advice = f"try {other}" + ("other settings" if rate is None else f"a lower --learning-rate than {rate:g}")
    good = steps_of(driver.folder)
    if not good:
        return f"{where}; there is no earlier checkpoint; {advice}"
    branch = command(config, "--branch-from", f"{driver.folder}@{good[-1]}", "--reinit", "fire", trust=driver.folder)
    return f"{where}; the last good checkpoint is at step {good[-1]:,}; {advice} in a new run, or {branch}"


def interrupted_line(folder: Path, config: Config) -> str:
    """That a run was stopped without a new checkpoint, and how to go on."""
    steps = steps_of(folder)
    where = f"goes on from its checkpoint at step {steps[-1]:,}" if steps else "begins at step 0 again"
    return f"stopped without a new checkpoint; the run {where} with {command(config, '--resume', folder, trust=folder)}"


def command(config: Config, *words: object, trust: Path) -> str:
    """Return a command line of this run's script as a user would type it."""
    return typed(command_name(config), *words, *trust_words(config, trust))


def say_records(records: Sequence[tuple[str, str]]) -> None:
    """Print where trackers have recorded the run, and which of them do not have all of it."""
    if records:
        print("recorded at")
    for name, where in records:
        print(f"  {name:13} {where}")
