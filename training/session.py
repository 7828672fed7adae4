"""From a request to a finished run: build, restore, train, stop cleanly, say what to do next."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch

import envs
from replay.segments import DamagedSegment

from .algorithms import Config, algorithm_of
from .beginning import Request, begin, branched_config, check_vacant, default_folder, keep_changes, resumed_config
from .build import Parts
from .checkpoint import DamagedCheckpoint, read_checkpoint, set_aside, steps_of, sweep
from .cost import say_what_it_costs
from .files import FolderLock, read_lines
from .film import forget_videos
from .log import cut_back
from .loop import Loop, Stopped
from .memory import keep_large_blocks


def run(request: Request) -> int:
    """Carry out a request; the process's exit code."""
    keep_large_blocks()
    if request.resume is not None:
        config = resumed_config(request, request.resume)
    elif request.branch_from is not None:
        config = branched_config(request, request.branch_from)
    else:
        config = request.config
    config = config.resolved()
    threads = config.run.threads or len(os.sched_getaffinity(0))
    config = replace(config, run=replace(config.run, threads=threads))
    folder = request.resume or request.run_dir or default_folder(config)
    if request.resume is None:
        check_vacant(folder)
    torch.set_num_threads(config.run.threads)
    parts = algorithm_of(config).build(config)  # nothing is written before this has worked
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror}") from error
    try:
        sweep(folder)
        if request.resume is None:
            begin(request, config, folder)
        elif request.given:
            keep_changes(folder, request.given)
        return train(folder, config, parts)
    finally:
        lock.release()


def train(folder: Path, config: Config, parts: Parts) -> int:
    """Restore the newest whole checkpoint, if there is one, and run the loop to its end."""
    settings = config.run
    loop = Loop(folder, parts, f"{settings.env} {settings.method} seed {settings.seed}")
    step = restore_newest(folder, loop)
    print(f"{folder}: " + (f"continuing at step {step:,}" if step is not None else "a new run"))
    for note in parts.notes:
        print(note)
    for warning in settings.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    say_what_it_costs(config, parts, settings.steps - loop.progress.environment_steps)
    try:
        with stop_signals() as stop_requested:
            loop.stop_requested = stop_requested
            loop.train()
    except ValueError as error:  # not the command line's fault any more: show where it comes from
        raise RuntimeError(f"failed at step {loop.progress.environment_steps:,} of {folder}") from error
    except Stopped:
        print(f"stopped at step {loop.progress.environment_steps:,} with a checkpoint; continue with")
        print(f"    python {algorithm_of(config).script} --resume {folder}")
        return 130
    say_where_things_are(folder, config)
    return 0


def restore_newest(folder: Path, loop: Loop) -> int | None:
    """Load the newest checkpoint that is whole into the loop, with a warning for each that is not."""
    steps = steps_of(folder)
    for step in reversed(steps):
        try:
            checkpoint = read_checkpoint(folder, step)
            loop.restore(checkpoint)
        except (DamagedCheckpoint, DamagedSegment) as error:
            print(f"warning: checkpoint at step {step:,} is damaged ({error}); using the one before", file=sys.stderr)
            continue
        for newer in steps[steps.index(step) + 1 :]:
            set_aside(folder, newer)
        cut_back(folder, checkpoint.values["file_sizes"])
        forget_videos(folder, step)
        return step
    if steps:
        raise ValueError(f"{folder}: no checkpoint is whole, of those at steps {steps}; nothing was changed")
    cut_back(folder, {})
    forget_videos(folder, 0)
    return None


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """The first SIGINT or SIGTERM asks for a checkpoint and a clean stop; a second SIGINT stops at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def say_where_things_are(folder: Path, config: Config) -> None:
    """The last lines: the result, the files, what to try next."""
    mean, count = final_return(folder)
    script = algorithm_of(config).script
    print(f"\nfinal return {mean:.1f}: mean of the {count} evaluations in the last tenth of the run")
    score = envs.normalised_score(config.run.env, mean)
    if score is not None:
        print(f"  score         {score:.3f} ({config.world.score_meaning})")
    print(f"  curve         {folder / 'curve.png'}")
    if config.run.measure_every:
        print(f"  measures      {folder / 'measures.png'}")
    print(f'  metrics       {folder / "metrics.jsonl"} (one JSON line each; events have kind "event")')
    print(f"  checkpoints   {folder / 'checkpoints'}")
    print(f"  TensorBoard   tensorboard --logdir {folder}")
    if config.run.video:
        print(f"  videos        {folder / 'videos'}")
    print("try next")
    print(f"  evaluate      python evaluate.py {folder} --episodes 100")
    print(f"  watch         python watch.py {folder}")
    print(f"  go on         python {script} --resume {folder} --steps {2 * config.run.steps}")
    for step in [step for step in steps_of(folder) if step < config.run.steps][:1]:
        print(f"  branch        python {script} --branch-from {folder}@{step} --reinit shrink-perturb")


def final_return(folder: Path) -> tuple[float, int]:
    """Mean return of the evaluations in the last tenth of the steps run, and how many those are."""
    evaluations = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "evaluation"]
    last = evaluations[-1]["environment_steps"]
    returns = [line["return"] for line in evaluations if line["environment_steps"] >= 0.9 * last]
    return sum(returns) / len(returns), len(returns)
