"""Free disk space of the finished runs in these folders: delete their replay and older checkpoints. Policies, metrics
and records stay, so that evaluate, watch and compare still work."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fire_rl.place import program
from fire_rl.training.command_line import read_options
from fire_rl.training.files import FolderLock
from fire_rl.training.folder import refuse_links, runs_below
from fire_rl.training.slim import is_over, slim


@dataclass(frozen=True)
class Options:
    """Whether runs are changed, or only listed."""

    dry_run: bool = False
    """Print which runs would be made smaller, and do nothing."""


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    count = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    options = read_options(Options(), arguments[count:], "slim", "RUN_OR_FOLDER...", __doc__ or "")
    if not count:
        raise ValueError(f"no run given: {program('slim')} RUN, or a folder with runs below it")
    total, failed = 0, False
    for run in runs_below([Path(word) for word in arguments[:count]]):
        try:
            freed = _slimmed(run, options.dry_run)
        except (ValueError, OSError) as error:
            print(f"{run}: not changed ({error})", file=sys.stderr)
            failed = True
            continue
        total += freed
        print(f"{run}: {'would be slimmed' if options.dry_run else f'{freed / 1e6:,.1f} MB freed'}")
    print(f"{total / 1e6:,.1f} MB freed in all" if not options.dry_run else "nothing was changed")
    return int(failed)


def _slimmed(run: Path, dry_run: bool) -> int:
    lock = FolderLock(run)
    try:
        refuse_links(run)
        if not is_over(run):
            raise ValueError("the run has not finished")
        return 0 if dry_run else slim(run)
    finally:
        lock.release()
