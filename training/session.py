"""From a request to a finished run: build, restore, train, stop cleanly, say what to do next."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

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
from .divergence import Diverged
from .driver import Driver, NotSaved, Stopped
from .durable import Damaged
from .ending import command, divergence_line, interrupted_line, result_of, say_records, say_where_things_are
from .files import FolderLock, claimed, read_json
from .film import forget_videos
from .folder import TRACKED, is_run, refuse_links
from .learners import build, read_config
from .lines import Divergence, EpisodeLine
from .log import cut_back
from .made_with import MadeWith, differences_in_words, made_with
from .memory import keep_large_blocks, only_new_objects_collected
from .policy import in_a_line
from .result import Result
from .settings import names_with
from .slim import is_slimmed, slim
from .sources import refuse_changed_sources
from .stopping import stop_signals
from .threads import choose_threads
from .tracking.board import write_hparams
from .tracking.names import require_packages
from .tracking.tracking import Tracking, about_run, hparams_of
from .unresolved import command_again


def run(request: Request) -> int:
    """Carry out a request; the process's exit code."""
    return carry_out(request).code


def carry_out(request: Request, on_evaluation: Callable[[int, float], object] | None = None) -> Result:
    """Carry out a request. `on_evaluation` gets step and value of each scheduled evaluation; true stops the run."""
    keep_large_blocks()
    if request.trust is not None and request.resume is None and request.branch_from is None:
        raise ValueError("--trust goes with --resume or --branch-from: a new run imports what its command names")
    watch = on_evaluation or (lambda step, value: None)
    return resume(request, request.resume, watch) if request.resume is not None else start(request, watch)


def start(request: Request, watch: Callable[[int, float], object]) -> Result:
    """A new run, or a branch: nothing is left of it where it could not begin."""
    config = request.config if request.branch_from is None else branched_config(request, request.branch_from)
    config = config.resolved()
    folder = request.run_dir or default_folder(config)
    with claimed(folder):
        with writable(folder):
            check_vacant(folder)
            config.check()
            config, notes = with_threads(config)
            with tracked(config) as tracking:
                work, made = build(config), made_with(config)
                driver, step = Driver(folder, config, work, made), None
                again = command_again(config, request.branch_from, request.given, request.trust)
                notes.append(f"repeat it with  {again}")
                tracking.require_ready()
                try:
                    notes += begin(request, config, folder, made, again)
                    if request.branch_from is not None:
                        step = steps_of(folder)[-1]
                        notes += restore(folder, step, driver)
                except BaseException:
                    clear(folder)
                    raise
        driver.tracking, driver.on_evaluation = tracking, watch
        return train(config, driver, step, notes)


def resume(request: Request, folder: Path, watch: Callable[[int, float], object]) -> Result:
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

            with tracked(config) as tracking:
                driver = fresh()  # which imports what the run uses
                refuse_changed_sources(folder, config)
                tracking.require_ready()
                driver, step, said = restore_newest(folder, config, driver, fresh, request.restart)
                sweep(folder)
                (folder / STARTING).unlink(missing_ok=True)  # of a start that was killed at its last step
                if request.restart and step is not None:
                    notes.append(
                        "warning: --restart does nothing: there is a whole checkpoint, from which the run goes on"
                    )
                notes += [*said, *say_what_changed(folder, claims, made, step)]
                changed = {
                    name: value for name, value in request.given.items() if name in names_with(config.run, "resumable")
                }
                other = made.machine != claims
                keep_changes(folder, changed, {"step": step or 0, "machine": made.machine} if other else None)
        driver.tracking, driver.on_evaluation = tracking, watch
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


@contextmanager
def tracked(config: Config) -> Iterator[Tracking]:
    """The run's trackers, which begin to import what they need; gone again where the run cannot begin."""
    require_packages(config.run.track)
    tracking = Tracking(config.run.track)
    try:
        yield tracking
    except BaseException:
        tracking.close()
        raise


def train(config: Config, driver: Driver, step: int | None, notes: list[str]) -> Result:
    """Run the driver from where it is to its end, and let its trackers finish."""
    announce(config, driver, step)
    result, ending = None, "failed"
    try:
        result = drive(config, driver, step, notes)
        ending = {"not saved": "failed"}.get(result.ending, result.ending)
        return result
    except KeyboardInterrupt:  # before there are checkpoints, or a second one
        ending = "killed"
        raise KeyboardInterrupt(interrupted_line(driver.folder, config)) from None
    finally:
        driver.tracking.finish(ending, result.summary() if result else {})
        say_records(driver.tracking.records)


def announce(config: Config, driver: Driver, step: int | None) -> None:
    """Tell the trackers, and TensorBoard's page HPARAMS, what run begins or goes on."""
    folder, tracking = driver.folder, driver.tracking
    try:
        source = read_json(folder / "config.json").get("branch_from")
        about = about_run(folder, config, list(driver.work.counts(driver.progress.updates)), source, step)
        tracking.begin(folder, about)
        with suppress(OSError):  # of a full disk, which what follows says
            write_hparams(folder, hparams_of(config, about["kind"]), about["metric"]["tag"])
    except BaseException:
        tracking.close()
        raise


def drive(config: Config, driver: Driver, step: int | None, notes: list[str]) -> Result:
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
        return replace(result_of(folder, config, "diverged", work.steps), diverged=error.quantity)
    except NotSaved as error:
        steps = steps_of(folder)
        good = f"the last whole checkpoint is at step {steps[-1]:,}" if steps else "there is no checkpoint yet"
        print(
            f"{error}; {good}; make room and continue with {command(config, '--resume', folder, trust=folder)}",
            file=sys.stderr,
        )
        return result_of(folder, config, "not saved", work.steps)
    except Stopped:
        print(f"stopped at step {work.steps:,} with a checkpoint; continue with")
        print(f"    {command(config, '--resume', folder, trust=folder)}")
        by: Literal["callback", "signal"] = "callback" if driver.stopped_by_callback else "signal"
        return replace(result_of(folder, config, "stopped", work.steps), stopped=by)
    for line in driver.manager.idle():
        print(f"warning: {line}", file=sys.stderr)
    result = result_of(folder, config, "finished", work.steps)
    say_where_things_are(result, config)
    if not settings.keep_replay:
        print(f"  freed         {slim(folder) / 1e6:,.1f} MB of replay and older checkpoints: --keep-replay False")
    return result


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
    if restart:
        (folder / TRACKED).unlink(missing_ok=True)  # trackers have lines of the same numbers, of other values
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
