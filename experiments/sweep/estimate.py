"""What a comparison will take on this machine: measured on one run's parts before anything is started."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from fire_rl.place import called
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.cost import duration_in_words
from fire_rl.training.device import choose_device
from fire_rl.training.learners import build
from fire_rl.training.memory import keep_large_blocks
from fire_rl.training.settings import flag
from fire_rl.training.work import Rates, Weight

from .grid import Grid, Job, asked_for, kind_of
from .weights import Disk, disk_of, memory_of_a_run


def weigh_and_time(grid: Grid, timed: bool) -> tuple[dict[str, Weight], dict[str, Rates]]:
    """What a run of each kind (`Job.kind`) takes and, if asked for, how fast it is.

    From building its parts: what cannot work is found before the start. On the CPU: this process must not hold a GPU's
    memory while its runs need it.
    """
    weights, rates = {}, {}
    keep_large_blocks()
    if timed:
        torch.set_num_threads(grid.threads)
    for point in grid.points:
        for env in grid.envs:
            config, kind = asked_for(point, env).resolved(), kind_of(env, point.place)
            choose_device(config.run.device)
            work = build(config.altered(device="cpu"))
            weights[kind] = work.weight()
            if timed:
                with suppress(ValueError):  # nothing is known of how long it takes
                    rates[kind] = work.rates()
    return weights, rates


def say_plan(
    jobs: Sequence[Job],
    states: Mapping[Path, str],
    weights: Mapping[str, Weight],
    rates: Mapping[str, Rates],
    slots: int | None,
) -> None:
    """Every run with its command line, then what all of it costs.

    Without rates, as on a GPU, not how long it takes; without slots it is a cluster's business how many run at once.
    """
    for job in jobs:
        after = f", after {job.trunk.name}" if job.trunk else ""
        print(f"{job.name}: {states[job.folder]}, steps {job.start:,} to {job.stop:,}{after}\n    {job.command}")
    left = [_rest(job) for job in jobs if states[job.folder] in ("new", "interrupted")]
    steps, updates = sum(job.stop - job.start for job in left), sum(job.updates for job in left)
    counts = Counter(states.values())
    also = f", {counts['failed']} failed, which --retry runs again" if counts["failed"] else ""
    also += "".join(f", {counts[state]} {state}" for state in ("diverged", "no trunk") if counts[state])
    print(
        f"\n{len(jobs)} runs, {counts['finished']} of them finished{also}; to do: {steps:,} steps, {updates:,} updates"
    )
    branches = [job for job in jobs if job.trunk]
    share = sum(job.stop - job.start for job in jobs) / max(1, sum(job.stop for job in branches))
    if branches and share < 1:
        print(f"shared trunks: {share:.0%} of the work of runs that each begin at step 0")
    known = len(rates) == len(weights)
    for line in _of_each_place(jobs, left, rates if known else {}):
        print(line)
    if left and known and slots:
        seconds = _seconds(left, rates)
        time = duration_in_words(max(sum(seconds) / slots, max(seconds)))
        print(f"about {time} with {slots} at once on this CPU, evaluations besides")
    elif left and slots:
        print(f"{slots} at once; how long it takes shows in the first minute")
    memory = memory_of_a_run(weights)
    replays = any(weight.replay for weight in weights.values())
    each = f"memory: up to {size(memory)} a run" + (", its replay among it" if replays else "")
    print(each + (f"; {size(slots * memory)} for {slots} at once" if slots else ""))
    if not replays:
        print(f"disk: {size(disk_of(jobs, weights).everything)} for all runs; all of it stays")
        return
    keep_replay = all(weight.settings.keep_replay for weight in weights.values())
    for line in disk_said(disk_of(jobs, weights), slots, keep_replay):
        print(line)


def _of_each_place(jobs: Sequence[Job], left: Sequence[Job], rates: Mapping[str, Rates]) -> Iterator[str]:
    """What the runs with each combination of the axes' values cost; nothing where there are no axes."""
    places = {tuple(job.place.items()): None for job in jobs if job.place}
    for place in places:
        here, own = ([job for job in some if tuple(job.place.items()) == place] for some in (jobs, left))
        said = ", ".join(f"{flag(name)} {value}" for name, value in place)
        steps, updates = sum(job.stop - job.start for job in own), sum(job.updates for job in own)
        cost = f"; about {duration_in_words(sum(_seconds(own, rates)))} of one run at a time" if own and rates else ""
        yield f"{said}: {len(here)} runs; to do: {len(own)} runs, {steps:,} steps, {updates:,} updates{cost}"


def _seconds(jobs: Sequence[Job], rates: Mapping[str, Rates]) -> list[float]:
    return [rates[job.kind].seconds(job.updates, job.stop - job.start) for job in jobs]


def disk_said(disk: Disk, slots: int | None, keep_replay: bool) -> list[str]:
    """What all runs take of the disk, and what stays of it."""
    everything, kept = size(disk.everything), size(disk.trunks + disk.policies)
    of_what = f"trunks {size(disk.trunks)}, policies {size(disk.policies)}" if disk.trunks else "policies"
    if keep_replay:
        shared = ", where branches share what they have of their trunk" if disk.trunks else ""
        lines = [
            f"disk: {everything} for all runs, their replays among it{shared}; all of it stays",
            f"with --keep-replay False, {kept} of it stay ({of_what})",
        ]
    else:
        more = f"up to {size(disk.largest)} more for each run at once" + (f", of {slots}" if slots else "")
        lines = [f"disk: {kept} that stay ({of_what}), and {more}; without --keep-replay False, {everything} stay"]
    if disk.trunks:
        lines.append(
            "trunks keep their replays, which branches begin with; "
            f"{called('slim')} frees them when all branches are done"
        )
    return lines


def size(count: float) -> str:
    """Bytes as one would say them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _rest(job: Job) -> Job:
    """What is left of a run, from its newest checkpoint on."""
    reached = max((step for step in steps_of(job.folder) if step >= job.start), default=job.start)
    if reached == job.start:
        return job
    share = (job.stop - reached) / (job.stop - job.start)
    return replace(job, start=reached, updates=round(share * job.updates))
