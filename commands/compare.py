"""Compare methods: one run for every method, seed and environment, and one report on all of them."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fire_rl.envs.reference_scores import references
from fire_rl.experiments.analysis.axis import MOST_PLACES
from fire_rl.experiments.analysis.labels import read_labels
from fire_rl.experiments.analysis.power import seeds_in_words
from fire_rl.experiments.analysis.results import Options as ReportOptions
from fire_rl.experiments.comparison import Machines, plan_as_script, report, run_comparison, show_plan, write_plan
from fire_rl.experiments.kept import MOST_RUNS, read_kept, value_text
from fire_rl.experiments.published.files import read_published
from fire_rl.experiments.published.joined import require_environments, require_other_names
from fire_rl.experiments.sweep.axes import Flags, axes_among, with_periods
from fire_rl.experiments.sweep.grid import Grid, Job, acts_at_events
from fire_rl.experiments.sweep.local import LocalPool, default_slots, usable_gpus
from fire_rl.experiments.sweep.plan import LONGEST_NAME, check_length, plan
from fire_rl.experiments.sweep.tracked import require_tracker
from fire_rl.fire.nearest import choices
from fire_rl.place import recorded
from fire_rl.remote import ray_pool, share_of_a_gpu, uploads_to
from fire_rl.training.asked import split, unknown_flag, words_of
from fire_rl.training.beginning import folder_name
from fire_rl.training.command_line import command_line, flags_of, preset_named
from fire_rl.training.files import claimed
from fire_rl.training.folder import is_run
from fire_rl.training.learners import LEARNERS
from fire_rl.training.stopping import STOPPED
from fire_rl.training.tracking.names import require_packages

from .compare_options import HERE, Options, read_options

if TYPE_CHECKING:
    from fire_rl.remote.upload import Uploads


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options, passed = read_options(arguments)
    shown = ReportOptions(options.baseline, options.reference, options.threshold)
    command = recorded("compare", *arguments)
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
        show_plan(grid, jobs, options.jobs, options.ray is not None, options.runs_per_gpu, options.retry)
        paired = options.branch_at is not None
        for line in seeds_in_words(grid.methods, len(grid.seeds), paired, options.baseline, options.reference):
            print(line)
        return 0
    with claimed(grid.folder):
        if options.write_plan:
            write_plan(grid, jobs)
            return 0
        return compare(options, grid, jobs, show)


def compare(options: Options, grid: Grid, jobs: Sequence[Job], show: Callable[[Sequence[Path], Path], None]) -> int:
    """Make all runs, copy the finished ones if --upload asks for it, and write the report."""
    uploads = uploads_to(options.upload, warn) if options.upload else None
    finished = (lambda job: uploads.add(job.folder)) if uploads else (lambda job: None)
    where = partial(machines, options, grid)
    try:
        code = run_comparison(grid, jobs, where, options.retry, finished, here=options.ray in (None, HERE))
        if uploads and (missing := send_rest(uploads) if code != STOPPED else uploads.cancel()):
            names = ", ".join(run.name for run in missing)
            warn(f"not copied to {options.upload}: {names}; the same command tries again")
            code = code or 1
    finally:
        if uploads:
            uploads.abandon()  # after an error or a second Ctrl-C
    try:
        if any(grid.folder.glob("*/config.json")):
            show([grid.folder], grid.folder)
        return code
    except ValueError as error:
        warn(f"no report: {error}")
    except Exception:  # no error of the report may hide how the runs ended
        traceback.print_exc()
    return code or 1


def words_of_a_script(arguments: Sequence[str], options: Options) -> tuple[list[str], list[str]]:
    """Return the words that head a script of the plan, and the words with which the script makes its report."""
    asked = [(name, values) for name, values in split(arguments) if name not in ("--dry-run", "--format")]
    for name, _ in asked:
        if name in ("--ray", "--upload", "--jobs", "--runs-per-gpu", "--gpus-per-run", "--retry"):
            only = "a script has only the runs and their report"
            raise ValueError(f"{name} given with --format {options.format}: {only}")
    kept = ("--baseline", "--reference", "--threshold", "--label", "--figure-width")
    reporting = words_of((name, values) for name, values in asked if name in kept)
    if options.against:
        reporting += ["--against", *(str(path.resolve()) for path in options.against)]
    return words_of(asked), reporting


def warn(text: str) -> None:
    """Print a line to the error stream."""
    print(text, file=sys.stderr, flush=True)


def check_report(options: Options, grid: Grid) -> list[str]:
    """Return the methods' names in the report; raise ValueError, before anything runs, for what no report can show."""
    before = read_kept(grid.folder)
    methods = [*grid.methods, *(before.methods if before else ())]
    for name, value in (("--baseline", options.baseline), ("--reference", options.reference)):
        if value is not None and value not in methods:
            raise ValueError(f"{name} {value!r} given; allowed is one of --reinit: {choices(value, methods)}")
    require_few_places(grid)
    labels = read_labels(options.label, methods)
    without = [env for env in grid.envs if references(env) is None]
    if options.threshold == "success" and without:
        raise ValueError(f"--threshold success given; {without[0]} has no success bar: give a return")
    return [labels.get(method, method) for method in methods]


def send_rest(uploads: "Uploads") -> list[Path]:
    """Finish all uploads; after Ctrl-C only the one in progress. Return the runs that were not uploaded."""
    try:
        return uploads.finish()
    except KeyboardInterrupt:
        return uploads.cancel()


def require_few_places(grid: Grid) -> None:
    """Raise ValueError if the axes have more combinations of values than a report can have."""
    if len(grid.points) > MOST_PLACES:
        flags = " and ".join(axis.flag for axis in grid.axes)
        raise ValueError(
            f"{flags} given with {len(grid.points):,} combinations of values; a report can have {MOST_PLACES}: give "
            "fewer values, or another --dir for some of them"
        )


def folder_of_reports(paths: Sequence[Path]) -> Path:
    """Return the folder for a report on these paths: the folder of runs if only one is given, else runs/report."""
    return paths[0] if len(paths) == 1 and not is_run(paths[0]) else Path("runs/report")


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
    folder = options.dir or Path("runs") / default_name(options.agent, names)
    check_length(folder)
    before = read_kept(folder)
    axes = axes_among(options.agent, passed, theirs, before)
    flags = tuple((name, values) for name, values in passed if name not in {axis.flag for axis in axes})
    methods, flags = with_periods(options.reinit, flags, partial(acts_at_events, options.agent))
    values = before.fixed if before else {}
    home = {axis.setting: value_text(values[axis.setting]) for axis in axes if axis.setting in values}
    seeds = parse_seeds(options.seeds)
    if len(seeds) == 1 and seeds[0] > 1 and len(options.seeds) == 1 and options.seeds[0].isdigit():
        warn(f"note: --seeds {seeds[0]} means only seed {seeds[0]}; for {seeds[0]} seeds give --seeds 0-{seeds[0] - 1}")
    return Grid(
        options.agent, names, methods, seeds, options.branch_at, options.threads, flags, folder, axes, home
    )  # fmt: skip


def default_name(agent: str, envs: Sequence[str]) -> str:
    """Return the name of a comparison's folder; it has the number of environments if their names are too long."""
    name = folder_name("-".join(("compare", agent, *envs)))
    return name if len(os.fsencode(name)) <= LONGEST_NAME else f"compare-{agent}-{len(envs)}-environments"


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
