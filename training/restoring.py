"""Restore a run from its newest whole checkpoint, or begin it again where there is none."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from .beginning import refuse_other_settings
from .checkpoint import folder_of, newest_whole, read_checkpoint, read_manifest, set_aside, steps_of
from .config import Config
from .driver import Driver
from .durable import Damaged, NotEnoughMemory, enough_memory, writable
from .error_words import in_a_line
from .film import forget_videos
from .folder import TRACKED
from .lines import Divergence, EpisodeLine
from .log import cut_back
from .made_with import MadeWith, differences_in_words
from .output import printable


def restore_newest(
    folder: Path, config: Config, fresh: Callable[[], Driver], restart: bool
) -> tuple[Driver, int | None, list[str]]:
    """Return a driver with the newest whole checkpoint, its step, and notes on newer checkpoints that are damaged.

    Parts of a damaged checkpoint may have been restored already. The next one is therefore restored into a fresh
    driver, which is made when the one before, whose replay may fill the memory, is gone.
    """
    steps, said, drivers = steps_of(folder), list[str](), [fresh()]

    def read(step: int) -> int:
        refuse_other_settings(folder, config, step)
        said.extend(restore(folder, step, drivers[0]))
        return step

    def tell(line: str) -> None:
        said.append(f"warning: {line}")
        drivers.clear()
        gc.collect()
        torch.cuda.empty_cache()
        drivers.append(fresh())

    if (step := newest_whole(folder, read, tell)) is not None:
        with writable(folder):
            for newer in steps[steps.index(step) + 1 :]:
                set_aside(folder, newer)
        return drivers[0], step, said
    for note in said:
        print(printable(note), file=sys.stderr)
    return drivers[0], None, begin_again(folder, config, steps, restart)


def restore(folder: Path, step: int, driver: Driver) -> list[str]:
    """Restore a checkpoint into the driver and cut the log back; return notes on what is missing in the log.

    If the checkpoint does not fit, raise Damaged before anything is cut.
    """
    checkpoint = read_checkpoint(folder, step)
    try:
        with enough_memory(folder_of(folder, step)):
            driver.restore(checkpoint)
    except (Damaged, NotEnoughMemory):
        raise
    except Exception as error:  # the values are not trusted and may cause any error
        raise Damaged(f"{folder_of(folder, step)} does not fit this run: {in_a_line(error)}") from error
    with writable(folder):
        forget_videos(folder, step, checkpoint.values.progress.owes)
        return [f"warning: {note}" for note in cut_back(folder, checkpoint.values.file_sizes)]


def begin_again(folder: Path, config: Config, steps: list[int], restart: bool) -> list[str]:
    """Begin again at step 0 and delete the log; if there are results to lose, this is done only with --restart."""
    flag = "--restart True trains it again from step 0 and deletes its metrics"
    if steps and not restart:
        raise ValueError(f"{folder}: none of the checkpoints at steps {steps} is whole; nothing was changed; {flag}")
    settings = config.run
    first = settings.reached(min(settings.checkpoint_every, settings.steps, *settings.checkpoint_at))
    reached, last = 0, None
    for _, line in config.reader.of(folder):
        last = line or last
        # Episodes are logged just before the checkpoint of their step, all other lines after it.
        if line and line.steps >= first + isinstance(line, EpisodeLine):
            reached = line.steps
    if isinstance(last, Divergence) and last.steps <= first and not restart:
        raise ValueError(f"{folder} diverged before its first checkpoint, and would again; nothing was changed; {flag}")
    if reached and not restart:
        raise ValueError(
            f"{folder} has metrics up to step {reached:,} but no checkpoint any more: it was deleted; nothing was "
            f"changed; {flag}"
        )
    with writable(folder):
        for step in steps:
            set_aside(folder, step)
        cut_back(folder, {})
        forget_videos(folder, 0)
        if restart:
            # Trackers already have lines with the same numbers but other values: they must not continue their records.
            (folder / TRACKED).unlink(missing_ok=True)
    return [f"warning: {folder} has no checkpoint: it begins again at step 0"]


def say_what_changed(folder: Path, claims: dict[str, str], made: MadeWith, step: int | None) -> list[str]:
    """Return notes on how versions, machine and config.json differ from those that made the checkpoint."""
    before = read_manifest(folder, step).made_with if step is not None else None
    if before is None:
        return []
    notes = []
    if words := differences_in_words(before, made):
        notes.append(
            f"continued with other versions or settings: {'; '.join(words)}: the last bits may differ from here on"
        )
    if words := differences_in_words(before, MadeWith(before.settings, claims)):
        notes.append(f"warning: {folder / 'config.json'} was edited since the checkpoint was made: {'; '.join(words)}")
    return notes
