"""Carry out a request: build or restore a run, train it, stop it cleanly, and print what to do next."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fire_rl.agents.captured import products_in
from fire_rl.place import recorded, typed

from .beginning import (
    STARTING,
    Request,
    begin,
    branched,
    check_vacant,
    claimed_machine,
    clear,
    default_folder,
    keep_changes,
    refuse_other_settings,
    resumed_config,
)
from .checkpoint import steps_of
from .config import Config
from .cost import say_what_it_costs
from .described import read_described
from .divergence import Diverged
from .driver import Driver, NotSaved, Stopped
from .durable import Damaged, writable
from .ending import (
    command,
    divergence_line,
    interrupted_line,
    result_of,
    rhythm_of,
    say_records,
    say_where_things_are,
)
from .files import FolderLock, claimed
from .finished import finished_already
from .folder import is_run, refuse_links
from .learners import build, command_name, read_config
from .made_with import made_with
from .memory import keep_large_blocks, only_new_objects_collected
from .output import LONGEST_LINE, printable
from .policy import split_run
from .pruning import delete_temporary_files
from .restoring import restore, restore_newest, say_what_changed
from .result import Result
from .settings import names_with
from .slim import is_slimmed, slim
from .sources import refuse_changed_sources
from .stopping import stop_signals
from .threads import choose_threads
from .tracking.board import write_hparams
from .tracking.tracking import about_run, hparams_of, tracked
from .unresolved import words_again

REPEAT = "repeat it with"  # begins the line with the command that makes the same run again


def run(request: Request) -> int:
    """Carry out a request and return the process's exit code."""
    return carry_out(request).code


@products_in("float32")
def carry_out(request: Request, on_evaluation: Callable[[int, float], object] | None = None) -> Result:
    """Carry out a request and return the run's result.

    `on_evaluation` is called with step and value of each scheduled evaluation. A true value that it returns stops the
    run. While a run lasts, torch's precision on a GPU is that of the run for the whole process, so two runs in threads
    of one process must not overlap.
    """
    keep_large_blocks()
    if request.trust is not None and request.resume is None and request.branch_from is None:
        raise ValueError(
            "--trust given without --resume, --branch-from or --config: a new run imports what its command names anyway"
        )
    watch = on_evaluation or (lambda step, value: None)
    return resume(request, request.resume, watch) if request.resume is not None else start(request, watch)


def start(request: Request, watch: Callable[[int, float], object]) -> Result:
    """Begin a new run or a branch, and train it. If it cannot begin, none of its files are left."""
    if request.branch_from is not None:
        request = branched(request, request.branch_from)
    config = request.config.resolved()
    folder = request.run_dir or default_folder(config)
    with claimed(folder):
        with beginning(folder):
            check_vacant(folder)
            config.check()
            config, notes = with_threads(config)
            with tracked(config.run.track) as tracking:
                work, made = build(config), made_with(config)
                if request.branch_from is not None:
                    refuse_changed_sources(split_run(request.branch_from)[0], config, evaluated=True)
                driver, step = Driver(folder, config, work, made), None
                words = words_again(config, request.branch_from, request.given, request.trust)
                notes.append(f"{REPEAT}  {typed(command_name(config), *words)}")
                tracking.require_ready()
                try:
                    with writable(folder):
                        notes += begin(request, config, folder, made, recorded(command_name(config), *words))
                    if request.branch_from is not None:
                        step = steps_of(folder)[-1]
                        notes += restore(folder, step, driver)
                except BaseException:
                    clear(folder)
                    raise
        driver.tracking, driver.on_evaluation = tracking, watch
        return train(config, driver, step, notes)


def resume(request: Request, folder: Path, watch: Callable[[int, float], object]) -> Result:
    """Resume a run and train it to its end."""
    if not is_run(folder):
        read_config(folder)  # raises ValueError, because the folder is not a run
    lock = FolderLock(folder)
    try:
        with beginning(folder):
            refuse_links(folder)
            config = resumed_config(request, folder).resolved()
            config.check()
            config, notes = with_threads(config)
            claims = claimed_machine(folder)
            if (result := finished_already(request, folder, config)) is not None:
                return result
            if is_slimmed(folder):
                raise ValueError(
                    f"{folder} was slimmed: its replay is gone, so that it cannot be continued; it can be evaluated, "
                    "watched, compared and reported on"
                )
            with suppress(Damaged):
                if steps := steps_of(folder):
                    refuse_other_settings(folder, config, steps[-1])  # before networks and replay are built
            made = made_with(config)

            with tracked(config.run.track) as tracking:

                def fresh() -> Driver:
                    driver = Driver(folder, config, build(config), made)  # imports the user's own modules
                    refuse_changed_sources(folder, config)
                    tracking.require_ready()
                    return driver

                driver, step, said = restore_newest(folder, config, fresh, request.restart)
                if request.restart and step is not None:
                    notes.append("warning: --restart has no effect: the run continues from a whole checkpoint")
                notes += [*said, *say_what_changed(folder, claims, made, step)]
                with writable(folder):
                    delete_temporary_files(folder)
                    notes += [f"warning: {warning}" for warning in driver.prune()]
                    (folder / STARTING).unlink(missing_ok=True)  # left by a start that was killed before deleting it
                    values, free = config.by_name(), names_with(config.run, "resumable")
                    changed = {name: values[name] for name in free if name in request.given}
                    other = made.machine != claims
                    keep_changes(folder, changed, {"step": step or 0, "machine": made.machine} if other else None)
        driver.tracking, driver.on_evaluation = tracking, watch
        return train(config, driver, step, notes)
    finally:
        lock.release()


@contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into a ValueError in one line; used until training begins."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{error.filename or f'{folder} cannot begin'}: {error.strerror or error}") from error


def with_threads(config: Config) -> tuple[Config, list[str]]:
    """Set the learner's threads, chosen here if they are not given; return the settings with them, and notes."""
    notes = []
    if not config.run.threads:
        threads, note = choose_threads(config)
        config, notes = config.altered(threads=threads), [note]
    torch.set_num_threads(config.run.threads)
    return config, notes


def train(config: Config, driver: Driver, step: int | None, notes: list[str]) -> Result:
    """Run the driver from its present position to the end, and let the trackers finish."""
    result, ending = None, "failed"
    try:
        announce(config, driver, step)
        try:
            result = drive(config, driver, step, notes)
            ending = {"not saved": "failed"}.get(result.ending, result.ending)
            return result
        except KeyboardInterrupt:  # before there are checkpoints, or a second one
            ending = "killed"
            raise
        finally:
            driver.tracking.finish(ending, result.summary() if result else {})
            say_records(driver.tracking.records)
    except KeyboardInterrupt:
        if result is not None:
            line = f"stopped while the trackers were finishing their records; the run itself is {result.ending}"
        else:
            line = interrupted_line(driver.folder, config)
        raise KeyboardInterrupt(line) from None


def announce(config: Config, driver: Driver, step: int | None) -> None:
    """Tell the trackers, and TensorBoard's page HPARAMS, which run begins or continues."""
    folder, tracking = driver.folder, driver.tracking
    try:
        source = read_described(folder).branch_from
        about = about_run(folder, config, list(driver.work.counts(driver.progress.updates)), source, step)
        tracking.begin(folder, about)
        with suppress(OSError):  # the disk may be full; later writes report it
            write_hparams(folder, hparams_of(config, about["kind"]), about["metric"]["tag"])
    except BaseException:
        tracking.close()
        raise


def drive(config: Config, driver: Driver, step: int | None, notes: list[str]) -> Result:
    """Print the notes, run the driver to the end of the run, and print how it ended."""
    settings, folder, work = config.run, driver.folder, driver.work
    go_on = command(config, "--resume", folder, trust=folder)
    print(f"{folder}: {_where_it_begins(config, step)}")
    warnings = (*settings.warnings(), *driver.manager.notes)
    for note in (*notes, *work.notes, *(f"warning: {warning}" for warning in warnings)):
        longest = None if note.startswith(REPEAT) else LONGEST_LINE  # a command is of no use if a part is missing
        print(printable(note, longest), file=sys.stderr if note.startswith("warning") else sys.stdout)
    say_what_it_costs(settings, work)
    driver.count_scheduled(rhythm_of(folder, config))
    try:
        with only_new_objects_collected(), stop_signals(work.calls) as stop_requested:
            driver.stop_requested = stop_requested
            driver.train()
    except ValueError as error:  # after the start it is not a mistake on the command line, so show the traceback
        raise RuntimeError(f"failed at step {work.steps:,} of {folder}") from error
    except Diverged as error:
        print(divergence_line(error, config, driver), file=sys.stderr)
        return replace(result_of(folder, config, "diverged", work.steps), diverged=error.quantity)
    except NotSaved as error:
        steps = steps_of(folder)
        good = f"the last whole checkpoint is at step {steps[-1]:,}" if steps else "there is no checkpoint yet"
        print(f"{error}; {good}; make room and continue with {go_on}", file=sys.stderr)
        return result_of(folder, config, "not saved", work.steps)
    except Stopped:
        print(f"stopped at step {work.steps:,} with a checkpoint; continue with\n    {go_on}")
        by: Literal["callback", "signal"] = "callback" if driver.stopped_by_callback else "signal"
        return replace(result_of(folder, config, "stopped", work.steps), stopped=by)
    for line in driver.manager.idle():
        print(f"warning: {line}", file=sys.stderr)
    result = result_of(folder, config, "finished", work.steps)
    say_where_things_are(result, config)
    if not settings.keep_replay:
        print(f"  freed         {slim(folder) / 1e6:,.1f} MB of replay and older checkpoints: --keep-replay False")
    return result


def _where_it_begins(config: Config, step: int | None) -> str:
    if step is None:
        return "a new run"
    missing = "" if step < config.run.steps else ": its last evaluation is missing"
    return f"continuing at step {step:,}{missing}"
