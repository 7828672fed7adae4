"""From a request to a finished run: build, restore, train, stop cleanly, say what to do next."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from fire_rl.place import typed

from .beginning import (
    STARTING,
    Request,
    begin,
    branched_config,
    check_vacant,
    claimed_machine,
    clear,
    default_folder,
    keep_changes,
    refuse_other_settings,
    resumed_config,
)
from .checkpoint import folder_of, read_checkpoint, read_manifest, set_aside, steps_of, sweep
from .config import Config
from .cost import say_what_it_costs
from .divergence import DIVERGED, OF_THE_ENVIRONMENT, Diverged
from .driver import Driver, NotSaved, Stopped
from .durable import Damaged
from .files import METRICS, FolderLock, claimed, read_json
from .film import forget_videos
from .folder import is_run, refuse_links
from .learners import build, command_of, read_config
from .lines import Divergence, EpisodeLine, EvaluationLine, Rhythm, final_score
from .log import cut_back
from .made_with import MadeWith, differences_in_words, made_with
from .memory import keep_large_blocks, only_new_objects_collected
from .policy import in_a_line, split_run
from .settings import names_with
from .slim import is_slimmed, slim
from .sources import refuse_changed_sources
from .stopping import STOPPED, stop_signals
from .threads import choose_threads
from .trust import trust_words
from .unresolved import command_again


def run(request: Request) -> int:
    """Carry out a request; the process's exit code."""
    keep_large_blocks()
    if request.trust is not None and request.resume is None and request.branch_from is None:
        raise ValueError("--trust goes with --resume or --branch-from: a new run imports what its command names")
    return resume(request, request.resume) if request.resume is not None else start(request)


def start(request: Request) -> int:
    """A new run, or a branch: nothing is left of it where it could not begin."""
    config = request.config if request.branch_from is None else branched_config(request, request.branch_from)
    config = config.resolved()
    folder = request.run_dir or default_folder(config)
    with claimed(folder):
        with writable(folder):
            check_vacant(folder)
            config.check()
            config, notes = with_threads(config)
            work, made = build(config), made_with(config)
            driver, step = Driver(folder, config, work, made), None
            again = command_again(config, request.branch_from, request.given, request.trust)
            notes.append(f"repeat it with  {again}")
            try:
                notes += begin(request, config, folder, made, again)
                if request.branch_from is not None:
                    step = steps_of(folder)[-1]
                    notes += restore(folder, step, driver)
            except BaseException:
                clear(folder)
                raise
        return train(config, driver, step, notes)


def resume(request: Request, folder: Path) -> int:
    """The rest of a run."""
    if not is_run(folder):
        read_config(folder)  # which says so
    lock = FolderLock(folder)
    try:
        with writable(folder):
            refuse_links(folder)
            config = resumed_config(request, folder).resolved()
            config.check()
            config, notes = with_threads(config)
            claims = claimed_machine(folder)
            if is_slimmed(folder):
                raise ValueError(
                    f"{folder} was slimmed: its replay is gone, so that it cannot go on; it can be evaluated, watched, "
                    "compared and reported on"
                )
            with suppress(Damaged):
                if steps := steps_of(folder):
                    refuse_other_settings(folder, config, steps[-1])  # before anything of that size is built
            made = made_with(config)

            def fresh() -> Driver:
                return Driver(folder, config, build(config), made)

            driver = fresh()  # which imports what the run uses
            refuse_changed_sources(folder, config)
            driver, step, said = restore_newest(folder, config, driver, fresh, request.restart)
            sweep(folder)
            (folder / STARTING).unlink(missing_ok=True)  # of a start that was killed at its last step
            if request.restart and step is not None:
                notes.append("warning: --restart does nothing: there is a whole checkpoint, from which the run goes on")
            notes += [*said, *say_what_changed(folder, claims, made, step)]
            changed = {
                name: value for name, value in request.given.items() if name in names_with(config.run, "resumable")
            }
            other = made.machine != claims
            keep_changes(folder, changed, {"step": step or 0, "machine": made.machine} if other else None)
        return train(config, driver, step, notes)
    finally:
        lock.release()


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """What the disk refuses before a run goes on is said in one line."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename or folder} cannot be written to: {error.strerror or error}") from error


def with_threads(config: Config) -> tuple[Config, list[str]]:
    """The threads of the learner, chosen where they are not given, and what is to be said of them."""
    notes = []
    if not config.run.threads:
        threads, note = choose_threads(config)
        config, notes = config.altered(threads=threads), [note]
    torch.set_num_threads(config.run.threads)
    return config, notes


def train(config: Config, driver: Driver, step: int | None, notes: list[str]) -> int:
    """Run the driver from where it is to its end."""
    settings, folder, work = config.run, driver.folder, driver.work
    print(f"{folder}: " + (f"continuing at step {step:,}" if step is not None else "a new run"))
    warnings = (*settings.warnings(), *driver.manager.notes)
    for note in (*notes, *work.notes, *(f"warning: {warning}" for warning in warnings)):
        print(note, file=sys.stderr if note.startswith("warning") else sys.stdout)
    say_what_it_costs(settings, work)
    try:
        with only_new_objects_collected(), stop_signals(work.calls) as stop_requested:
            driver.stop_requested = stop_requested
            driver.train()
    except ValueError as error:  # not the command line's fault any more: show where it comes from
        raise RuntimeError(f"failed at step {work.steps:,} of {folder}") from error
    except Diverged as error:
        print(divergence_line(error, config, driver), file=sys.stderr)
        return DIVERGED
    except NotSaved as error:
        steps = steps_of(folder)
        good = f"the last whole checkpoint is at step {steps[-1]:,}" if steps else "there is no checkpoint yet"
        print(
            f"{error}; {good}; make room and continue with {command(config, '--resume', folder, trust=folder)}",
            file=sys.stderr,
        )
        return 1
    except Stopped:
        print(f"stopped at step {work.steps:,} with a checkpoint; continue with")
        print(f"    {command(config, '--resume', folder, trust=folder)}")
        return STOPPED
    for line in driver.manager.idle():
        print(f"warning: {line}", file=sys.stderr)
    say_where_things_are(folder, config)
    if not settings.keep_replay:
        print(f"  freed         {slim(folder) / 1e6:,.1f} MB of replay and older checkpoints: --keep-replay False")
    return 0


def divergence_line(error: Diverged, config: Config, driver: Driver) -> str:
    """What diverged, when, what is still good, and what to try."""
    where = f"{driver.folder} diverged at step {driver.work.steps:,}, update {driver.progress.updates:,}: {error}"
    if error.quantity in OF_THE_ENVIRONMENT:
        return f"{where}; {config.run.env} gave it: look there, the agent is not the cause"
    rate = "try other settings"
    if config.learning_rate is not None:
        rate = f"try a lower --learning-rate than {config.learning_rate:g}"
    if driver.manager.acts_every_step:
        rate = f"try without {config.run.method}, or {rate.removeprefix('try ')}"
    good = steps_of(driver.folder)
    if not good:
        return f"{where}; there is no checkpoint from before; {rate}"
    branch = command(config, "--branch-from", f"{driver.folder}@{good[-1]}", "--reinit", "fire", trust=driver.folder)
    return f"{where}; the last good checkpoint is at step {good[-1]:,}; {rate} in a new run, or {branch}"


def command(config: Config, *words: object, trust: Path) -> str:
    """A command line of this run's script, as one would type it."""
    return typed(command_of(config), *words, *trust_words(config, trust))


def restore_newest(
    folder: Path, config: Config, driver: Driver, fresh: Callable[[], Driver], restart: bool
) -> tuple[Driver, int | None, list[str]]:
    """A driver with the newest whole checkpoint, its step, and what is to be said of newer ones that are damaged."""
    steps, said = steps_of(folder), []
    for step in reversed(steps):
        try:
            refuse_other_settings(folder, config, step)
            said += restore(folder, step, driver)
        except Damaged as error:
            said.append(f"warning: checkpoint at step {step:,} is damaged ({error}); using the one before")
            driver = fresh()  # some of it may have been put in
            continue
        for newer in steps[steps.index(step) + 1 :]:
            set_aside(folder, newer)
        return driver, step, said
    for note in said:
        print(note, file=sys.stderr)
    return driver, None, begin_again(folder, config, steps, restart)


def restore(folder: Path, step: int, driver: Driver) -> list[str]:
    """Give the driver a checkpoint's state and cut the log back; Damaged, with nothing cut, where it does not fit."""
    checkpoint = read_checkpoint(folder, step)
    try:
        driver.restore(checkpoint)
    except Damaged:
        raise
    except Exception as error:  # whatever a stranger's values lead to
        raise Damaged(f"{folder_of(folder, step)} does not fit this run: {in_a_line(error)}") from error
    forget_videos(folder, step)
    return [f"warning: {note}" for note in cut_back(folder, checkpoint.values.file_sizes)]


def begin_again(folder: Path, config: Config, steps: list[int], restart: bool) -> list[str]:
    """From step 0, deleting what was logged: only where nothing else is possible, and never results unasked."""
    flag = "--restart True trains it again from step 0 and deletes its metrics"
    if steps and not restart:
        raise ValueError(f"{folder}: no checkpoint is whole, of those at steps {steps}; nothing was changed; {flag}")
    settings = config.run
    first = settings.reached(min(settings.checkpoint_every, settings.steps, *settings.checkpoint_at))
    reached, last = 0, None
    for _, line in config.reader.of(folder):
        last = line or last
        # Episodes are logged just before the checkpoint of their step, all else after it.
        if line and line.steps >= first + isinstance(line, EpisodeLine):
            reached = line.steps
    if reached and not restart:
        raise ValueError(
            f"{folder} has metrics up to step {reached:,} and no checkpoint any more: it was deleted; nothing was "
            f"changed; {flag}"
        )
    if isinstance(last, Divergence) and not restart:
        raise ValueError(f"{folder} diverged before its first checkpoint, and would again; nothing was changed; {flag}")
    for step in steps:
        set_aside(folder, step)
    cut_back(folder, {})
    forget_videos(folder, 0)
    return [f"warning: {folder} has no checkpoint: it begins again at step 0"]


def say_what_changed(folder: Path, claims: dict[str, str], made: MadeWith, step: int | None) -> list[str]:
    """Versions, processor, threads: what differs between now and then, and between config.json and then."""
    before = read_manifest(folder, step).made_with if step is not None else None
    if before is None:
        return []
    notes = []
    if words := differences_in_words(before, made):
        notes.append(f"continued with other than before: {'; '.join(words)}: the last bits may differ from here on")
    if words := differences_in_words(MadeWith(before.settings, claims), before):
        notes.append(f"warning: {folder / 'config.json'} was edited; by the checkpoint it is not {'; '.join(words)}")
    return notes


def rhythm_of(folder: Path, config: Config) -> Rhythm:
    """Which evaluations of a run are scheduled ones, and its own."""
    settings, source = config.run, read_json(folder / "config.json").get("branch_from")
    own = Rhythm(settings.eval_every, settings.reached(1), settings.last_phase)
    if source is None:
        return own
    trunk, step = split_run(source)
    if step is None:  # from the trunk's newest checkpoint: where the method acted, or at the trunk's end
        places = settings.reinit_at[:1] or ((read_config(trunk).run.steps,) if is_run(trunk) else ())
        step = places[0] if places else -1
    return replace(own, branch=settings.reached(step))


def say_where_things_are(folder: Path, config: Config) -> None:
    """The last lines: the result, the files, what to try next."""
    metric = config.metric
    evaluations = [line for _, line in config.reader.of(folder) if isinstance(line, EvaluationLine)]
    found = final_score([(line.steps, line.value, line.occasion) for line in evaluations], rhythm_of(folder, config))
    if found is None:
        print(f"\nno final {metric.name}: no scheduled evaluation of the last tenth of the run is on record")
    else:
        mean, count = found
        of_those = "the scheduled evaluation" if count == 1 else f"mean of the {count} scheduled evaluations"
        print(f"\nfinal {metric.name} {metric.said(mean)}: {of_those} in the last tenth of the run")
        if score := config.score_in_words(mean):
            print(f"  score         {score}")
    print(f"  curve         {folder / 'curve.png'}")
    if config.run.measure_every:
        print(f"  measures      {folder / 'measures.png'}")
    if any(line.by_phase for line in evaluations):
        print(f"  phases        {folder / 'phases.png'}")
    print(f'  metrics       {folder / METRICS} (one JSON line each; events have kind "event")')
    print(f"  checkpoints   {folder / 'checkpoints'}")
    print(f"  TensorBoard   {shlex.join(['tensorboard', '--logdir', str(folder)])}")
    if config.run.video:
        print(f"  videos        {folder / 'videos'}")
    trust = trust_words(config, folder)
    suggested = []
    if config.acts:
        suggested.append(("evaluate", typed("evaluate", folder, "--episodes", 100, *trust)))
        suggested.append(("watch", typed("watch", folder, *trust)))
    if config.run.keep_replay:
        if (longer := min(2 * config.run.steps, config.run.longest or 2 * config.run.steps)) > config.run.steps:
            suggested.append(("go on", command(config, "--resume", folder, "--steps", longer, trust=folder)))
        for step in [step for step in steps_of(folder) if step < config.run.steps][:1]:
            words = ("--branch-from", f"{folder}@{step}", "--reinit", "shrink-perturb")
            suggested.append(("branch", command(config, *words, trust=folder)))
    if suggested:
        print("try next")
    for what, line in suggested:
        print(f"  {what:13} {line}")
