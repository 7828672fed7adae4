"""Train trunks, measure their checkpoints, and write the tables on which measures predict trainability.

    python -m benchmarks.foretelling [--dir runs/foretelling] [--jobs 2] [--dry-run]

The trunks are sweeps of compare.py, one for each group. Each checkpoint becomes one line of DIR/results.jsonl, and the
page DIR/diagnosis.md is made from these lines alone, from all of them. The published page is written only with
--page docs/results/diagnosis.md. The same command continues after an interruption and repeats nothing; with
--report-only it makes the page from the lines that there are.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import tyro

from fire_rl.commands import compare
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.sweep.grid import asked_for
from fire_rl.fire.trainability import SHORT
from fire_rl.training.cost import duration_in_words
from fire_rl.training.files import claimed
from fire_rl.training.learners import build
from fire_rl.training.probes import seconds_of
from fire_rl.training.slim import is_over, is_slimmed, slim

from .page import write_page
from .plan import Checkpoint, GroupName, Trunks, checkpoints_of, words_of
from .pool import measure_all
from .results import RESULTS, Record, read_results

MEASURES_SECONDS = 1.0  # of loading a checkpoint and taking its measures, measured on small networks
PAGE = "diagnosis.md"  # in DIR
RECORD_BYTES = 12_000  # of a line of results


@dataclass(frozen=True)
class Options:
    """Which trunks, where, and how many processes."""

    trunks: tyro.conf.OmitArgPrefixes[Trunks] = field(default_factory=Trunks)
    dir: Path = Path("runs/foretelling")
    """Folder of the trunks and of results.jsonl."""
    page: Path | None = None
    """The page, DIR/diagnosis.md by default. Of a page that exists, only the part between two marks is written. Its
    picture goes into the folder of the same name."""
    jobs: int = 2
    """Runs and measurements at once, with one thread each."""
    dry_run: bool = False
    """Say which runs and checkpoints there are and what they cost, and do nothing."""
    report_only: bool = False
    """Make the page from the lines that there are, and run nothing."""
    delete_replays: bool = False
    """Delete a run's replay when all of its checkpoints are measured. It cannot be measured again after that."""


def main(options: Options) -> int:
    """Do all that is left to do; return the exit code."""
    groups: dict[GroupName, list[str]] = {
        name: words_of(name, options.trunks, options.dir, options.jobs) for name in options.trunks.groups
    }
    checkpoints = {name: checkpoints_of(name, words) for name, words in groups.items()}
    path = options.dir / RESULTS
    records = {record.key: record for record in read_results(path)}
    refuse_other_probe(list(records.values()), path)
    if options.dry_run:
        say_cost(options, groups, checkpoints, records)
        return 0
    if not options.report_only:
        for name, words in groups.items():
            if code := compare.body(words):
                return code
            with claimed(options.dir):
                measure_all(checkpoints[name], records, path, options.jobs)
            if options.delete_replays:
                delete_replays(checkpoints[name], records)
    if not records:
        raise ValueError(f"{path} has no lines: run the command without --report-only first")
    command = "python -m benchmarks.foretelling " + " ".join(sys.argv[1:])
    page = options.page or options.dir / PAGE
    write_page(page, list(records.values()), command.strip())
    print(f"{len(records)} checkpoints: {path}\n{page}")
    return 0


def refuse_other_probe(records: Sequence[Record], path: Path) -> None:
    """Raise ValueError if records were made with another probe: their scores could not be compared."""
    now = msgspec.json.decode(msgspec.json.encode(asdict(SHORT)))
    for record in records:
        if record.probe != now:
            raise ValueError(f"{path} was made with another probe, {record.probe}: give another --dir")


def delete_replays(checkpoints: Sequence[Checkpoint], records: dict[tuple[str, int], Record]) -> None:
    """Delete the replays of finished runs whose checkpoints are all measured."""
    freed = 0
    for run in dict.fromkeys(each.run for each in checkpoints):
        own = [each for each in checkpoints if each.run == run]
        if all(each.key in records for each in own) and is_over(run) and not is_slimmed(run):
            freed += slim(run)
    print(f"deleted {freed / 1e6:,.1f} MB of replays")


def say_cost(
    options: Options,
    groups: dict[GroupName, list[str]],
    checkpoints: dict[GroupName, list[Checkpoint]],
    records: dict[tuple[str, int], Record],
) -> None:
    """Print every sweep as compare.py's --dry-run does, then the number of checkpoints and the time of measuring."""
    total, left, seconds = 0, 0, 0.0
    for name, words in groups.items():
        print(f"== {name}")
        compare.body([*words, "--dry-run"])
        grid = compare.make_grid(*read_options(words))
        work = build(asked_for(grid.points[0], grid.envs[0]).resolved())
        each = MEASURES_SECONDS + seconds_of(work.probes(0))
        new = [one for one in checkpoints[name] if one.key not in records]
        print(f"{len(checkpoints[name])} checkpoints, {len(new)} to measure, about {each:.1f} s each on one core now\n")
        total, left, seconds = total + len(checkpoints[name]), left + len(new), seconds + each * len(new)
    duration = duration_in_words(seconds / options.jobs)
    print(
        f"{total} checkpoints, {left} to measure: about {duration} with {options.jobs} processes, besides the training "
        f"above; {RESULTS} takes about {total * RECORD_BYTES / 1e6:.1f} MB"
    )


def run(call: Callable[[], int]) -> int:
    """Return the exit code of a call; wrong values end it with one line."""
    try:
        return call()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run(lambda: main(tyro.cli(Options))))
