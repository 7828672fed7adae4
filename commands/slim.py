"""Free disk space of the finished runs in these folders: delete their replay and older checkpoints. Policies, metrics
and records stay, so that evaluate, watch and compare still work."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fire_rl.experiments.waiting import waiting_branch
from fire_rl.place import program
from fire_rl.training.command_line import read_options
from fire_rl.training.files import FolderLock
from fire_rl.training.folder import refuse_links, runs_below
from fire_rl.training.slim import has_diverged, is_over, slim, would_free


@dataclass(frozen=True)
class Options:
    """Whether runs are changed, or only listed."""

    dry_run: bool = False
    """Print which runs would be made smaller, and by how much, and do nothing."""


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    count = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    options = read_options(Options(), arguments[count:], "slim", "RUN_OR_FOLDER...", __doc__ or "")
    if not count:
        raise ValueError(f"no run given: {program('slim')} RUN, or a folder with runs below it")
    total, failed, named = 0, False, {Path(word).resolve() for word in arguments[:count]}
    met: Counter[tuple[int, int]] | None = Counter() if options.dry_run else None
    for run in runs_below([Path(word) for word in arguments[:count]]):
        try:
            if reason := why_left(run):
                print(f"{run}: left as it is ({reason})", file=sys.stderr)
                failed |= run.resolve() in named
                continue
            freed = _slimmed(run, met)
        except (ValueError, OSError) as error:
            print(f"{run}: not changed ({error})", file=sys.stderr)
            failed = True
            continue
        total += freed
        print(f"{run}: {freed / 1e6:,.1f} MB {'would be ' if options.dry_run else ''}freed")
    print(
        f"{total / 1e6:,.1f} MB "
        + ("would be freed in all; nothing was changed" if options.dry_run else "freed in all")
    )
    return int(failed)


def why_left(run: Path) -> str | None:
    """Return why a run is left as it is: it has not finished, or branches still begin with it; None otherwise."""
    if not is_over(run):
        return "the run has not finished"
    branch = None if has_diverged(run) else waiting_branch(run)
    return f"its planned branch {branch} has no result yet" if branch else None


def _slimmed(run: Path, met: Counter[tuple[int, int]] | None) -> int:
    """Slim a run and return the bytes freed; with `met`, only return what would be freed: see `would_free`."""
    with ExitStack() as locks:
        for folder in [run.parent] * (run.parent / "lock").exists() + [run]:  # a comparison has its folder locked
            locks.callback(FolderLock(folder).release)
        refuse_links(run)
        if reason := why_left(run):  # it may have begun again meanwhile
            raise ValueError(reason)
        return slim(run) if met is None else would_free(run, met)
