"""Restore a run from its newest whole checkpoint, or begin it again where there is none."""

import sys
from collections.abc import Callable
from pathlib import Path

from .beginning import refuse_other_settings
from .checkpoint import folder_of, newest_whole, read_checkpoint, read_manifest, set_aside, steps_of
from .config import Config
from .driver import Driver
from .durable import Damaged
from .error_words import in_a_line
from .film import forget_videos
from .folder import TRACKED
from .lines import Divergence, EpisodeLine
from .log import cut_back
from .made_with import MadeWith, differences_in_words


def restore_newest(
    folder: Path, config: Config, driver: Driver, fresh: Callable[[], Driver], restart: bool
) -> tuple[Driver, int | None, list[str]]:
    """Return a driver with the newest whole checkpoint, its step, and notes on newer checkpoints that are damaged."""
    steps, said = steps_of(folder), list[str]()

    def read(step: int) -> int:
        refuse_other_settings(folder, config, step)
        said.extend(restore(folder, step, driver))
        return step

    def tell(line: str) -> None:
        nonlocal driver
        said.append(f"warning: {line}")
        driver = fresh()  # parts of the damaged checkpoint may have been restored already

    if (step := newest_whole(folder, read, tell)) is not None:
        for newer in steps[steps.index(step) + 1 :]:
            set_aside(folder, newer)
        return driver, step, said
    for note in said:
        print(note, file=sys.stderr)
    return driver, None, begin_again(folder, config, steps, restart)


def restore(folder: Path, step: int, driver: Driver) -> list[str]:
    """Restore a checkpoint into the driver and cut the log back; return notes on what is missing in the log.

    If the checkpoint does not fit, raise Damaged before anything is cut.
    """
    checkpoint = read_checkpoint(folder, step)
    try:
        driver.restore(checkpoint)
    except Damaged:
        raise
    except Exception as error:  # the values are not trusted and may cause any error
        raise Damaged(f"{folder_of(folder, step)} does not fit this run: {in_a_line(error)}") from error
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
    if reached and not restart:
        raise ValueError(
            f"{folder} has metrics up to step {reached:,} but no checkpoint any more: it was deleted; nothing was "
            f"changed; {flag}"
        )
    if isinstance(last, Divergence) and not restart:
        raise ValueError(f"{folder} diverged before its first checkpoint, and would again; nothing was changed; {flag}")
    for step in steps:
        set_aside(folder, step)
    cut_back(folder, {})
    forget_videos(folder, 0)
    if restart:
        # Trackers already have lines with the same numbers but other values, so they must not continue their records.
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
