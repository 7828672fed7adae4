"""The flags of `compare.py` itself, how they are read, and its help."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fire_rl.agents.limits import flag
from fire_rl.experiments.asked import as_understood
from fire_rl.experiments.sweep.as_script import Format
from fire_rl.experiments.sweep.axes import Flags
from fire_rl.place import TRAINING, called, program
from fire_rl.training.asked import HELP, split, words_of
from fire_rl.training.command_line import allowed_values, each_once, flags_of, read_flags
from fire_rl.training.help import describe_options
from fire_rl.training.learners import LEARNERS

HERE = "here"  # the value of --ray without a value
MOST = 4096  # the largest number of runs at once, and of threads of a run
MEANING = "Compare methods: one run for every method, seed and environment, and one report on all of them."
EXAMPLES = f"""\
  {program("compare")} --agent sac --env h1-walk --reinit none reset shrink-perturb fire --seeds 0-4 --branch-at 0.5
  {program("compare")} --agent dqn --env Asterix Breakout --reinit none redo:tau=0.1 fire+l2-init --seeds 0-9
  {program("compare")} --agent sac --env h1-walk --replay-ratio 1 2 4 8 --reinit none reset fire      with an axis
  {program("compare")} --agent vision --preset quick --reinit none reset fire --seeds 0-4 --branch-at phase
  {program("compare")} --report-only runs/compare-sac-h1-walk        only the report, of any runs"""
MORE = f"""\
All other flags are those of the training commands, and apply to every run. The training commands list them, with
their methods and environments or data, by --help-all: {", ".join(map(called, TRAINING))}.

A training flag that changes the result may be given several values. It is then an axis: every method and seed is run
at each value, and the report has a figure over the values. METHOD@every=2000 is a method with its own schedule, so
--reinit none fire fire@every=2000 compares two schedules of fire.

Finished runs are kept, and interrupted ones are continued. Give the same command again to go on, also with more seeds,
methods or environments. With --branch-at F the methods of a seed share one trunk, which is trained once, to the share F
of the steps. --keep-replay False frees disk space when runs finish. Trunks keep their replay, because branches begin
with it; {called("slim")} frees that space later."""
TOPICS = {
    "What is compared": "agent env reinit seeds branch_at",
    "Where the runs are made, and how many at once": "dir threads jobs runs_per_gpu ray gpus_per_run upload",
    "The plan, and failed runs": "dry_run format write_plan retry",
    "The report": "report_only baseline reference against threshold label figure_width",
}


@dataclass(frozen=True)
class Options:
    """What is compared, where it runs, and what the report shows."""

    agent: Literal[*LEARNERS] = "sac"  # type: ignore[valid-type]  # the names in the table
    """Agent of every run."""
    env: tuple[str, ...] = ()
    """Environments or data sets (--data means the same); unset: the preset's."""
    reinit: tuple[str, ...] = ("none", "reset", "shrink-perturb", "fire")
    """Methods, written as for --reinit of the training scripts. METHOD+REGULARIZER adds a regularizer;
    METHOD@every=UPDATES, METHOD@at=STEP or METHOD@when=MEASURE>VALUE gives the method its own schedule."""
    seeds: tuple[str, ...] = ("0-4",)
    """Seeds: a range such as 0-4, or a list."""
    branch_at: float | Literal["phase"] | None = None
    """Share of the steps after which the methods branch from the trunk of their seed, or phase: where the second phase
    of data begins; unset: every run begins at the start."""
    threads: int = 1
    """CPU threads of each run, however many run at once. Their number changes the last bits of a result."""
    dir: Path | None = None
    """Folder of the comparison; unset: runs/compare-<agent>-<environments>, or their number if they are many."""
    jobs: int | None = None
    """Runs at once; unset: one per GPU, or as many as there are cores and memory for."""
    runs_per_gpu: int | None = None
    """Runs at once on each GPU, which share its memory, on this machine or on a Ray cluster; unset: one."""
    ray: str | None = None
    """Run on a Ray cluster: HOST:PORT, or auto; --ray without a value: on this machine, starting Ray if needed."""
    gpus_per_run: float | None = None
    """GPUs of each run on a Ray cluster, such as 0.25; unset: 1 if the cluster has GPUs."""
    upload: str | None = None
    """URL to which finished runs are copied, such as s3://bucket/folder."""
    dry_run: bool = False
    """Show the runs with their command lines and cost, and do nothing."""
    format: Format = "text"
    """With --dry-run: text, or the plan as a script for other machines, shell (bash) or slurm (job arrays)."""
    write_plan: bool = False
    """Only write the plan to the folder's comparison.json, which the scripts of --format do before their runs."""
    retry: bool = False
    """Run the failed runs again."""
    report_only: tuple[Path, ...] = ()
    """Run nothing; report on these runs, and on all runs below these folders."""
    baseline: str | None = None
    """Method that the report compares the others with; unset: none if it was run, else the first method."""
    reference: str | None = None
    """Method that the report compares with every other method; unset: fire if it was run."""
    against: tuple[Path, ...] = ()
    """CSV files of published results by seed, in the format of SimbaV2, XQC and FlashSAC; the report shows them too."""
    threshold: float | Literal["success", "baseline"] | None = None
    """Return to reach (an accuracy as a share, such as 0.9), or success, or baseline: the baseline's final value;
    unset: success if some run reached it, else 90% of the final value of the best other method."""
    label: tuple[str, ...] = ()
    """METHOD=NAME, such as fire="FIRE (ours)": a method's name in the report. Takes several values; may be repeated."""
    figure_width: Literal["single", "double"] = "double"
    """Width of the figures for papers: one of two columns (3.25 inches), or both (6.75 inches)."""


def read_options(arguments: Sequence[str]) -> tuple[Options, Flags]:
    """Return this command's own options, and the flags for the training command, which are checked with the runs."""
    ours = flags_of(Options)
    arguments = as_understood(each_once(labels_together(arguments)), ours)
    given = [(name, values or ([HERE] if name == "--ray" else [])) for name, values in split(arguments)]
    if {*HELP} & {name for name, _ in given}:
        print(describe_options(called("compare"), f"{MEANING}\n\n{EXAMPLES}", Options(), TOPICS, MORE))
        raise SystemExit(0)
    own = words_of((name, values) for name, values in given if name in ours)
    for name, values in given:
        if name in ours and not values and ours[name] is not bool:
            raise ValueError(f"{name} given without a value; allowed is {allowed_values(ours[name], '')}")
    options = read_flags(Options(), own)
    passed = tuple((name, tuple(values)) for name, values in given if name not in ours)
    if options.format != "text" and not options.dry_run:
        raise ValueError(f"--format {options.format} given without --dry-run, which prints the script")
    if options.write_plan and options.dry_run:
        raise ValueError("--write-plan given with --dry-run, which writes nothing")
    if options.report_only:
        kept = {"--dir", *map(flag, TOPICS["The report"].split())}
        for name, _ in given:
            if name not in kept:
                raise ValueError(f"{name} given with --report-only, which runs nothing")
    if isinstance(options.threshold, float) and not math.isfinite(options.threshold):
        raise ValueError(f"--threshold {options.threshold} given; allowed is a return, success or baseline")
    counts = (("--threads", options.threads), ("--jobs", options.jobs), ("--runs-per-gpu", options.runs_per_gpu))
    for name, value in counts:
        if value is not None and not 1 <= value <= MOST:
            raise ValueError(f"{name} {value} given; allowed is 1 to {MOST:,}")
    gpus = options.gpus_per_run
    if gpus is not None and (options.ray is None or not (0 <= gpus <= 1 or (gpus > 1 and gpus.is_integer()))):
        raise ValueError(f"--gpus-per-run {gpus} given; allowed is 0 to 1, or a whole number, with --ray")
    if options.jobs is not None and options.ray is not None:
        raise ValueError(f"--jobs {options.jobs} given with --ray: there the cluster's CPUs limit the runs at once")
    for name, other in (("--jobs", options.jobs), ("--gpus-per-run", options.gpus_per_run)):
        if options.runs_per_gpu is not None and other is not None:
            raise ValueError(f"--runs-per-gpu {options.runs_per_gpu} given with {name} {other:g}: give only one")
    device = next((values for name, values in passed if name == "--device"), ())
    if options.runs_per_gpu is not None and device == ("cpu",):
        raise ValueError(f"--runs-per-gpu {options.runs_per_gpu} given with --device cpu, which uses no GPU")
    if options.ray is not None and re.fullmatch(r"cuda:0*[1-9]\d*", " ".join(device)):
        raise ValueError(
            f"--device {' '.join(device)} given with --ray, where each run sees only its own GPU: give --device cuda"
        )
    return options, passed


def labels_together(arguments: Sequence[str]) -> list[str]:
    """Return the words with the values of all --label flags under one flag, because --label may be repeated."""
    parts = split(arguments)
    labels = [value for name, values in parts if name == "--label" for value in values]
    others = words_of((name, values) for name, values in parts if name != "--label")
    return [*others, *(("--label", *labels) if any(name == "--label" for name, _ in parts) else ())]
