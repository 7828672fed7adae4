"""Compare methods: one run for every method, seed and environment, and one report on all of them."""

import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from fire_rl.envs.reference_scores import references
from fire_rl.experiments.analysis.labels import read_labels
from fire_rl.experiments.analysis.power import seeds_said
from fire_rl.experiments.analysis.results import Options as ReportOptions
from fire_rl.experiments.asked import as_understood
from fire_rl.experiments.comparison import Machines, plan_as_script, report, run_comparison, show_plan
from fire_rl.experiments.kept import MOST_RUNS, read_kept, value_text
from fire_rl.experiments.published.files import read_published
from fire_rl.experiments.published.joined import require_environments, require_other_names
from fire_rl.experiments.sweep.as_script import Format
from fire_rl.experiments.sweep.axes import Flags, axes_among, with_periods
from fire_rl.experiments.sweep.grid import Grid, Job, acts_at_events, check_length, plan
from fire_rl.experiments.sweep.local import LocalPool, default_slots, usable_gpus
from fire_rl.experiments.sweep.tracked import require_tracker
from fire_rl.place import TRAINING, called, program, typed
from fire_rl.remote import ray_pool, share_of_a_gpu, uploads_to
from fire_rl.training.asked import HELP, split, unknown_flag
from fire_rl.training.beginning import folder_name
from fire_rl.training.command_line import (
    allowed_values,
    command_line,
    each_once,
    flags_of,
    preset_named,
    read_flags,
)
from fire_rl.training.files import claimed
from fire_rl.training.help import describe_options
from fire_rl.training.learners import LEARNERS
from fire_rl.training.stopping import STOPPED
from fire_rl.training.tracking.names import require_packages

HERE = "here"  # the value of --ray without a value
MOST = 4096  # the largest number of runs at once, and of threads of a run
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
    "The plan, and failed runs": "dry_run format retry",
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
    """Folder of the comparison; unset: runs/compare-<agent>-<environments>."""
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


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options, passed = read_options(arguments)
    shown = ReportOptions(options.baseline, options.reference, options.threshold)
    command = typed("compare", *arguments)
    published = read_published(options.against)
    show = partial(
        report, options=shown, command=command, labels=options.label, width=options.figure_width, published=published
    )
    if options.report_only:
        try:
            folder = options.dir or folder_of_reports(options.report_only)
            show(options.report_only, folder)
        except OSError as error:
            raise ValueError(f"{error.filename}: {error.strerror}") from error
        return 0
    require_tracker(passed)
    grid = make_grid(options, passed)
    jobs = plan(grid)  # errors in the plan are reported before the folder is made
    names = check_report(options, grid)
    require_packages(next((values for name, values in passed if name == "--track"), ()))
    require_environments(published, grid.envs)
    require_other_names(published, names)
    if options.dry_run and options.format != "text":
        print(plan_as_script(grid, jobs, options.format, *words_of_a_script(arguments, options)))
        return 0
    if options.dry_run:
        show_plan(grid, jobs, options.jobs, options.ray is not None, options.runs_per_gpu)
        paired = options.branch_at is not None
        for line in seeds_said(grid.methods, len(grid.seeds), paired, options.baseline, options.reference):
            print(line)
        return 0
    with claimed(grid.folder):
        return compare(options, grid, jobs, show)


def compare(options: Options, grid: Grid, jobs: Sequence[Job], show: Callable[[Sequence[Path], Path], None]) -> int:
    """Make all runs, copy the finished ones if --upload asks for it, and write the report."""
    uploads = uploads_to(options.upload, warn) if options.upload else None
    finished = (lambda job: uploads.add(job.folder)) if uploads else (lambda job: None)
    where = partial(machines, options, grid)
    code = run_comparison(grid, jobs, where, options.retry, finished)
    if uploads and (missing := uploads.finish() if code != STOPPED else uploads.cancel()):
        warn(f"not copied to {options.upload}: {', '.join(run.name for run in missing)}; the same command tries again")
    if any(grid.folder.glob("*/config.json")):
        try:
            show([grid.folder], grid.folder)
        except ValueError as error:
            warn(f"no report: {error}")
            return code or 1
        except Exception:  # no error of the report may hide how the runs ended
            traceback.print_exc()
            return code or 1
    return code


def words_of_a_script(arguments: Sequence[str], options: Options) -> tuple[list[str], list[str]]:
    """Return the words that head a script of the plan, and the words with which the script makes its report."""
    asked = [(name, values) for name, values in split(arguments) if name not in ("--dry-run", "--format")]
    for name, _ in asked:
        if name in ("--ray", "--upload", "--jobs", "--runs-per-gpu", "--gpus-per-run", "--retry"):
            raise ValueError(
                f"{name} given with --format {options.format}: a script has only the runs and their report"
            )
    reporting = [
        word
        for name, values in asked
        if name in ("--baseline", "--reference", "--threshold", "--label", "--figure-width")
        for word in (name, *values)
    ]
    if options.against:
        reporting += ["--against", *(str(path.resolve()) for path in options.against)]
    return [word for name, values in asked for word in (name, *values)], reporting


def warn(text: str) -> None:
    """Print a line to the error stream."""
    print(text, file=sys.stderr, flush=True)


def read_options(arguments: Sequence[str]) -> tuple[Options, Flags]:
    """Return this command's own options, and the flags for the training command, which are checked with the runs."""
    ours = flags_of(Options)
    arguments = as_understood(each_once(labels_together(arguments)), ours)
    given = [(name, values or ([HERE] if name == "--ray" else [])) for name, values in split(arguments)]
    if {*HELP} & {name for name, _ in given}:
        print(describe_options(called("compare"), f"{__doc__}\n\n{EXAMPLES}", Options(), TOPICS, MORE))
        raise SystemExit(0)
    own = [word for name, values in given if name in ours for word in (name, *values)]
    for name, values in given:
        if name in ours and not values and ours[name] is not bool:
            raise ValueError(f"{name} given without a value; allowed is {allowed_values(ours[name], '')}")
    options = read_flags(Options(), own)
    passed = tuple((name, tuple(values)) for name, values in given if name not in ours)
    if options.format != "text" and not options.dry_run:
        raise ValueError(f"--format {options.format} given without --dry-run, which prints the script")
    if options.report_only:
        kept = {"--report-only", "--dir", "--baseline", "--reference", "--threshold", "--against", "--label"}
        kept |= {"--figure-width"}
        for name, _ in given:
            if name not in kept:
                raise ValueError(f"{name} given with --report-only, which runs nothing")
    if isinstance(options.threshold, float) and not math.isfinite(options.threshold):
        raise ValueError(f"--threshold {options.threshold} given; allowed is a return, success or baseline")
    counts = (("--threads", options.threads), ("--jobs", options.jobs), ("--runs-per-gpu", options.runs_per_gpu))
    for name, value in counts:
        if value is not None and not 1 <= value <= MOST:
            raise ValueError(f"{name} {value} given; allowed is 1 to {MOST:,}")
    if options.gpus_per_run is not None and (options.ray is None or not 0 <= options.gpus_per_run < math.inf):
        raise ValueError(f"--gpus-per-run {options.gpus_per_run} given; allowed is 0 or above, with --ray")
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
    others = [word for name, values in parts if name != "--label" for word in (name, *values)]
    return [*others, *(("--label", *labels) if any(name == "--label" for name, _ in parts) else ())]


def check_report(options: Options, grid: Grid) -> list[str]:
    """Return the methods' names in the report; raise ValueError, before anything runs, for what no report can show."""
    before = read_kept(grid.folder)
    methods = [*grid.methods, *(before.methods if before else ())]
    for name, value in (("--baseline", options.baseline), ("--reference", options.reference)):
        if value is not None and value not in methods:
            raise ValueError(f"{name} {value!r} given; allowed is one of --reinit: {', '.join(methods)}")
    labels = read_labels(options.label, methods)
    without = [env for env in grid.envs if references(env) is None]
    if options.threshold == "success" and without:
        raise ValueError(f"--threshold success given; {without[0]} has no success bar: give a return")
    return [labels.get(method, method) for method in methods]


def folder_of_reports(paths: Sequence[Path]) -> Path:
    """Return the folder for a report on these paths: the folder of runs if only one is given, else runs/report."""
    return paths[0] if len(paths) == 1 and not (paths[0] / "config.json").exists() else Path("runs/report")


def make_grid(options: Options, passed: Flags) -> Grid:
    """Return the grid that the flags describe; raise ValueError for an unknown flag, with the nearest known one."""
    learner = LEARNERS[options.agent]
    theirs, presets = flags_of(command_line(learner.config)), learner.presets
    for name, _ in passed:
        if name == "--seed":
            raise ValueError("--seed given; did you mean --seeds?")
        if name not in theirs:
            raise unknown_flag(name, [*flags_of(Options), *theirs], ("compare", options.agent))
    preset = next((" ".join(values) for name, values in passed if name == "--preset"), next(iter(presets)))
    names = options.env or (preset_named(preset, presets).config.run.env,)
    folder = options.dir or Path("runs") / folder_name("-".join(("compare", options.agent, *names)))
    check_length(folder)
    before = read_kept(folder)
    axes = axes_among(options.agent, passed, theirs, before)
    flags = tuple((name, values) for name, values in passed if name not in {axis.flag for axis in axes})
    methods, flags = with_periods(options.reinit, flags, partial(acts_at_events, options.agent))
    values = before.fixed if before else {}
    home = {axis.setting: value_text(values[axis.setting]) for axis in axes if axis.setting in values}
    seeds = parse_seeds(options.seeds)
    if len(seeds) == 1 and seeds[0] > 0 and len(options.seeds) == 1 and options.seeds[0].isdigit():
        warn(f"note: --seeds {seeds[0]} means only seed {seeds[0]}; for {seeds[0]} seeds give --seeds 0-{seeds[0] - 1}")
    return Grid(
        options.agent, names, methods, seeds, options.branch_at, options.threads, flags, folder, axes, home
    )  # fmt: skip


def parse_seeds(words: Sequence[str]) -> tuple[int, ...]:
    """Return the seeds of words such as `0-4` or `0,2,5`."""
    given, found = " ".join(words), list[range]()
    for word in ",".join(words).split(","):
        part = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", word.strip())
        seeds = range(int(part[1]), int(part[2] or part[1]) + 1) if part else range(0)
        if not seeds:
            raise ValueError(f"--seeds {given[:80]!r} given; allowed are ranges such as 0-4 and lists such as 0 2 5")
        found.append(seeds)
    if (count := sum(seeds.stop - seeds.start for seeds in found)) > MOST_RUNS:
        raise ValueError(f"--seeds {given[:80]!r} given, {count:,} seeds; allowed are {MOST_RUNS:,} runs in all")
    return tuple(seed for seeds in found for seed in seeds)


def machines(options: Options, grid: Grid, memory: float) -> Machines:
    """Return the machines for the runs, each of which takes `memory` bytes."""
    if options.ray is not None:
        address = None if options.ray == HERE else options.ray
        share = options.gpus_per_run if options.runs_per_gpu is None else share_of_a_gpu(options.runs_per_gpu)
        gpus_per_run = 0 if ("--device", ("cpu",)) in grid.flags else share
        return ray_pool(address, options.threads, gpus_per_run, grid.folder, memory)
    gpus = usable_gpus(grid.flags)
    slots = options.jobs or default_slots(grid.threads, len(gpus), memory, options.runs_per_gpu)
    return LocalPool(slots, gpus)
