"""From a request to a finished run: build, restore, train, stop cleanly, say what to do next."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

import envs
from replay.durable import Damaged

from .algorithms import Config, algorithm_of, settings_of
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
from .cost import say_what_it_costs
from .divergence import DIVERGED, OF_THE_ENVIRONMENT, Diverged
from .files import METRICS, FolderLock, claimed, lines_of
from .film import forget_videos
from .folder import is_run, refuse_links
from .history import final_return
from .log import cut_back
from .loop import Loop, NotSaved, Stopped
from .made_with import FREE, MadeWith, differences_in_words, made_with
from .memory import keep_large_blocks, only_new_objects_collected
from .policy import in_a_line, read_config
from .slim import is_slimmed, slim
from .sources import refuse_changed_sources
from .stopping import STOPPED, stop_signals
from .threads import choose_threads
from .trust import trust_words


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
            parts = algorithm_of(config).build(config)
            made = made_with(settings_of(config))
            try:
                notes += begin(request, config, folder, made)
                loop, step = Loop(folder, parts, title_of(config), made), None
                if request.branch_from is not None:
                    step = steps_of(folder)[-1]
                    notes += restore(folder, step, loop)
            except BaseException:
                clear(folder)
                raise
        return train(config, loop, step, notes)


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
            made = made_with(settings_of(config))

            def fresh() -> Loop:
                return Loop(folder, algorithm_of(config).build(config), title_of(config), made)

            loop = fresh()  # which imports what the run uses
            refuse_changed_sources(folder, config)
            loop, step, said = restore_newest(folder, config, loop, fresh, request.restart)
            sweep(folder)
            (folder / STARTING).unlink(missing_ok=True)  # of a start that was killed at its last step
            if request.restart and step is not None:
                notes.append("warning: --restart does nothing: there is a whole checkpoint, from which the run goes on")
            notes += [*said, *say_what_changed(folder, claims, made, step)]
            changed = {name: value for name, value in request.given.items() if name in FREE}
            other = made.machine != claims
            keep_changes(folder, changed, {"step": step or 0, "machine": made.machine} if other else None)
        return train(config, loop, step, notes)
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
        config, notes = replace(config, run=replace(config.run, threads=threads)), [note]
    torch.set_num_threads(config.run.threads)
    return config, notes


def title_of(config: Config) -> str:
    return f"{config.run.env} {config.run.method} seed {config.run.seed}"


def train(config: Config, loop: Loop, step: int | None, notes: list[str]) -> int:
    """Run the loop from where it is to its end."""
    settings, folder, parts = config.run, loop.folder, loop.parts
    print(f"{folder}: " + (f"continuing at step {step:,}" if step is not None else "a new run"))
    for note in (*notes, *parts.notes, *(f"warning: {warning}" for warning in settings.warnings())):
        print(note, file=sys.stderr if note.startswith("warning") else sys.stdout)
    say_what_it_costs(config, parts, settings.steps - loop.progress.environment_steps)
    try:
        with only_new_objects_collected(), stop_signals(loop.calls) as stop_requested:
            loop.stop_requested = stop_requested
            loop.train()
    except ValueError as error:  # not the command line's fault any more: show where it comes from
        raise RuntimeError(f"failed at step {loop.progress.environment_steps:,} of {folder}") from error
    except Diverged as error:
        print(divergence_line(error, config, loop), file=sys.stderr)
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
        print(f"stopped at step {loop.progress.environment_steps:,} with a checkpoint; continue with")
        print(f"    {command(config, '--resume', folder, trust=folder)}")
        return STOPPED
    say_where_things_are(folder, config)
    if not settings.keep_replay:
        print(f"  freed         {slim(folder) / 1e6:,.1f} MB of replay and older checkpoints: --keep-replay False")
    return 0


def divergence_line(error: Diverged, config: Config, loop: Loop) -> str:
    """What diverged, when, what is still good, and what to try."""
    progress = loop.progress
    where = f"{loop.folder} diverged at step {progress.environment_steps:,}, update {progress.updates:,}: {error}"
    if error.quantity in OF_THE_ENVIRONMENT:
        return f"{where}; {config.run.env} gave it: look there, the agent is not the cause"
    rate = f"try a lower --learning-rate than {config.agent.learning_rate:g}"
    if loop.parts.manager.acts_every_step:
        rate = f"try without {config.run.method}, or {rate.removeprefix('try ')}"
    good = steps_of(loop.folder)
    if not good:
        return f"{where}; there is no checkpoint from before; {rate}"
    branch = command(config, "--branch-from", f"{loop.folder}@{good[-1]}", "--reinit", "fire", trust=loop.folder)
    return f"{where}; the last good checkpoint is at step {good[-1]:,}; {rate} in a new run, or {branch}"


def command(config: Config, *words: object, trust: Path) -> str:
    """A command line of this run's script, as one would type it."""
    return shlex.join(["python", algorithm_of(config).script, *map(str, words), *trust_words(config, trust)])


def restore_newest(
    folder: Path, config: Config, loop: Loop, fresh: Callable[[], Loop], restart: bool
) -> tuple[Loop, int | None, list[str]]:
    """A loop with the newest checkpoint that is whole, its step, and what is to be said, of each that is not first."""
    steps, said = steps_of(folder), []
    for step in reversed(steps):
        try:
            refuse_other_settings(folder, config, step)
            said += restore(folder, step, loop)
        except Damaged as error:
            said.append(f"warning: checkpoint at step {step:,} is damaged ({error}); using the one before")
            loop = fresh()  # some of it may have been put in
            continue
        for newer in steps[steps.index(step) + 1 :]:
            set_aside(folder, newer)
        return loop, step, said
    for note in said:
        print(note, file=sys.stderr)
    return loop, None, begin_again(folder, config, steps, restart)


def restore(folder: Path, step: int, loop: Loop) -> list[str]:
    """Put a checkpoint's state into the loop and cut its log back; Damaged, with nothing cut, where it does not fit."""
    checkpoint = read_checkpoint(folder, step)
    try:
        loop.restore(checkpoint)
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
    for _, line in lines_of(folder / METRICS):
        last = line or last
        # Episodes are logged just before the checkpoint of their step, all else after it.
        if line and line["environment_steps"] >= first + (line["kind"] == "episode"):
            reached = line["environment_steps"]
    if reached and not restart:
        raise ValueError(
            f"{folder} has metrics up to step {reached:,} and no checkpoint any more: it was deleted; nothing was "
            f"changed; {flag}"
        )
    if last and last["kind"] == "diverged" and not restart:
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


def say_where_things_are(folder: Path, config: Config) -> None:
    """The last lines: the result, the files, what to try next."""
    found = final_return(folder / METRICS)
    if found is None:
        print("\nno final return: no evaluation of the last tenth of the run is on record")
    else:
        mean, count = found
        print(f"\nfinal return {mean:.1f}: mean of the {count} evaluations in the last tenth of the run")
        score = envs.normalised_score(config.run.env, mean)
        if score is not None:
            print(f"  score         {score:.3f} ({config.world.score_meaning})")
    print(f"  curve         {folder / 'curve.png'}")
    if config.run.measure_every:
        print(f"  measures      {folder / 'measures.png'}")
    print(f'  metrics       {folder / METRICS} (one JSON line each; events have kind "event")')
    print(f"  checkpoints   {folder / 'checkpoints'}")
    print(f"  TensorBoard   {shlex.join(['tensorboard', '--logdir', str(folder)])}")
    if config.run.video:
        print(f"  videos        {folder / 'videos'}")
    trust = trust_words(config, folder)
    print("try next")
    print(f"  evaluate      {shlex.join(['python', 'evaluate.py', str(folder), '--episodes', '100', *trust])}")
    print(f"  watch         {shlex.join(['python', 'watch.py', str(folder), *trust])}")
    if not config.run.keep_replay:
        return
    print(f"  go on         {command(config, '--resume', folder, '--steps', 2 * config.run.steps, trust=folder)}")
    for step in [step for step in steps_of(folder) if step < config.run.steps][:1]:
        words = ("--branch-from", f"{folder}@{step}", "--reinit", "shrink-perturb")
        print(f"  branch        {command(config, *words, trust=folder)}")
