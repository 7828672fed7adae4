"""Free the disk space of finished runs: their replay and older checkpoints go, policies, metrics and records stay.

python slim.py RUN_OR_FOLDER...     every finished run there and below; evaluate, watch and compare go on working
"""

from commands.front import show_page

if __name__ == "__main__":
    show_page("slim")  # before what takes seconds to load


import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.command_line import main, read_options
from training.files import FolderLock
from training.folder import refuse_links, runs_below
from training.slim import is_over, slim


@dataclass(frozen=True)
class Options:
    """What to do."""

    dry_run: bool = False
    """Say which runs would be made smaller, and do nothing."""


def body(arguments: Sequence[str]) -> int:
    count = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    options = read_options(Options(), arguments[count:], "slim.py RUN_OR_FOLDER...", __doc__)
    if not count:
        raise ValueError("no run given: python slim.py RUN, or a folder with runs below it")
    total, failed = 0, False
    for run in runs_below([Path(word) for word in arguments[:count]]):
        try:
            freed = _slimmed(run, options.dry_run)
        except (ValueError, OSError) as error:
            print(f"{run}: left as it is ({error})", file=sys.stderr)
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
            raise ValueError("it has not finished")
        return 0 if dry_run else slim(run)
    finally:
        lock.release()


if __name__ == "__main__":
    main(body)
