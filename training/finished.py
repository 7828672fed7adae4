"""A run that has finished: it is left as it is, and only what a kill at its end has left out is completed."""

import sys
from pathlib import Path

from .beginning import Request, keep_changes
from .checkpoint import steps_of
from .config import Config
from .described import read_described
from .durable import NotEnoughMemory, writable
from .ending import longer_steps, result_of, say_records
from .pruning import delete_temporary_files
from .reporter import draw_missing
from .result import Result
from .settings import names_with
from .slim import has_finished, is_slimmed, newest_whole_step, slim
from .tracking.tracking import about_run, tracked


def finished_already(request: Request, folder: Path, config: Config) -> Result | None:
    """Return the recorded result of a run that has finished, and say so; None if there is anything left to do.

    Its last evaluation is not made again, because it may have another value with other packages. Its pictures are
    completed, and trackers that are given get its result.
    """
    reached = max(steps_of(folder), default=0)
    if config.run.steps > reached or not has_finished(folder):
        return None
    try:
        whole = newest_whole_step(folder)
    except NotEnoughMemory:  # nothing has to be loaded here
        whole = reached
    if request.restart and whole is None:
        return None
    with writable(folder):
        delete_temporary_files(folder)  # of a process that was killed while it drew a picture
        if whole == reached and not (config.run.keep_replay or is_slimmed(folder)):
            slim(folder)
        values, free = config.by_name(), names_with(config.run, "resumable")
        given = [name for name in free if name.startswith("track") and name in request.given]
        keep_changes(folder, {name: values[name] for name in given})
    print(f"{folder}: finished already, at step {reached:,}{_what_is_possible(folder, config, whole)}")
    if request.restart:
        print("warning: --restart has no effect: the run has finished with a whole checkpoint", file=sys.stderr)
    for warning in draw_missing(folder, config):
        print(f"warning: {warning}", file=sys.stderr)
    result = result_of(folder, config, "finished", reached)
    if given:
        _record(folder, config, result)
    return result


def _what_is_possible(folder: Path, config: Config, whole: int | None) -> str:
    """Return the end of a line: whether and how a finished run can be continued."""
    if is_slimmed(folder):
        return "; it was slimmed and cannot be continued"
    if whole is None:
        return "; none of its checkpoints is whole; --restart True trains it again from step 0 and deletes its metrics"
    longer = longer_steps(config)
    return "" if longer is None else f"; to continue it, give a larger --steps, such as {longer}"


def _record(folder: Path, config: Config, result: Result) -> None:
    """Give trackers the run's result: they are new, or ended before the run did."""
    with tracked(config.run.track) as tracking:
        tracking.require_ready()
        counts = list(dict.fromkeys(("updates", config.run.progress)))
        tracking.begin(folder, about_run(folder, config, counts, read_described(folder).branch_from, result.step))
    try:
        tracking.finish("finished", result.summary())
        say_records(tracking.records)
    except KeyboardInterrupt:
        line = "stopped while the trackers were finishing their records; the run itself is finished"
        raise KeyboardInterrupt(line) from None
