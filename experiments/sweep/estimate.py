"""Estimates the time, memory and disk space of a comparison, from the parts of one run of each kind."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fire_rl.memory import SHARE_OF_FREE_MEMORY
from fire_rl.place import called
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.cost import duration_in_words
from fire_rl.training.device import choose_device, device_named
from fire_rl.training.learners import build
from fire_rl.training.memory import keep_large_blocks
from fire_rl.training.settings import flag
from fire_rl.training.work import Rates, Weight

from ..kept import TRUNK
from .grid import Grid, Job, asked_for, kind_of

PROCESS = 1e9  # bytes of memory that a run's process needs besides its replay and data
ON_GPU = 1.5e9  # bytes of a GPU that a run's process needs besides its networks, replay and data


@dataclass(frozen=True)
class Disk:
    """The disk space of a comparison in bytes, without metrics and pictures, which are small."""

    everything: float  # all runs, with all replays kept
    trunks: float  # all trunks
    policies: float  # all other runs, if their replays are not kept
    largest: float  # the largest run that is not a trunk, with its replay


def weigh_and_time(grid: Grid, timed: bool, here: bool = True) -> tuple[dict[str, Weight], dict[str, Rates]]:
    """Return the memory and disk space of a run of each kind (`Job.kind`) and, if `timed`, its speed.

    The parts of a run are built for this, so settings that cannot work are found before anything begins. They are built
    on the CPU, because this process must not hold GPU memory that the runs need. If the runs are not made `here`, this
    machine need not have their --device.
    """
    weights, rates = {}, {}
    keep_large_blocks()
    if timed:
        torch.set_num_threads(grid.threads)
    for point in grid.points:
        for env in grid.envs:
            config, kind = asked_for(point, env).resolved(), kind_of(env, point.place)
            if here:
                choose_device(config.run.device)
            elif config.run.device != "auto":
                device_named(config.run.device)
            work = build(config.altered(device="cpu"))
            weights[kind] = work.weight()
            if timed:
                with suppress(ValueError):  # this kind of work cannot be timed
                    rates[kind] = work.rates()
    return weights, rates


def say_plan(
    jobs: Sequence[Job], states: Mapping[Path, str], weights: Mapping[str, Weight], rates: Mapping[str, Rates],
    slots: int | None,
) -> None:  # fmt: skip
    """Print every run with its command line, then the cost of all of them.

    Without `rates`, as on a GPU, the time is not estimated. `slots` is None on a cluster, which decides itself how many
    runs it takes at once.
    """
    for job in jobs:
        after = f", after {job.trunk.name}" if job.trunk else ""
        print(f"{job.name}: {states[job.folder]}, steps {job.start:,} to {job.stop:,}{after}\n    {job.command}")
    left = [_rest(job) for job in jobs if states[job.folder] in ("new", "interrupted")]
    steps, updates = sum(job.stop - job.start for job in left), sum(job.updates for job in left)
    slots = slots and min(slots, len(left) or len(jobs))
    counts = Counter(states.values())
    also = f", {counts['failed']} failed, which --retry runs again" if counts["failed"] else ""
    also += "".join(f", {counts[state]} {state}" for state in ("diverged", "no trunk") if counts[state])
    done = f"{counts['finished']} of them finished{also}"
    print(f"\n{len(jobs)} runs, {done}; to do: {steps:,} steps, {updates:,} updates")
    branches = [job for job in jobs if job.trunk]
    share = sum(job.stop - job.start for job in jobs) / max(1, sum(job.stop for job in branches))
    if branches and share < 1:
        print(f"shared trunks: {share:.0%} of the work of runs that all begin at step 0")
    known = len(rates) == len(weights)
    for line in _of_each_place(jobs, left, rates if known else {}):
        print(line)
    if left and known and slots:
        seconds = _seconds(left, rates)
        time = duration_in_words(max(sum(seconds) / slots, _longest(left, seconds)))
        print(f"about {time} with {slots} runs at once on this CPU, without the time of evaluations")
    elif left and slots:
        print(f"{slots} runs at once; an estimate of the time appears in the first minute")
    memory = memory_of_a_run(weights)
    replays = any(weight.replay for weight in weights.values())
    each = f"memory: up to {size(memory)} per run" + (", including its replay" if replays else "")
    print(each + (f"; {size(slots * memory)} for {slots} runs at once" if slots else ""))
    disk, keep_replay = disk_of(jobs, weights), all(weight.settings.keep_replay for weight in weights.values())
    everything = f"disk: {size(disk.everything)} for all runs, all of it kept"
    print("\n".join(disk_in_words(disk, slots, keep_replay) if replays else [everything]))


def _of_each_place(jobs: Sequence[Job], left: Sequence[Job], rates: Mapping[str, Rates]) -> Iterator[str]:
    """Yield one line for each combination of the axes' values: what its runs cost. Nothing if there are no axes."""
    places = {tuple(job.place.items()): None for job in jobs if job.place}
    for place in places:
        here, own = ([job for job in some if tuple(job.place.items()) == place] for some in (jobs, left))
        said = ", ".join(f"{flag(name)} {value}" for name, value in place)
        steps, updates = sum(job.stop - job.start for job in own), sum(job.updates for job in own)
        cost = f"; about {duration_in_words(sum(_seconds(own, rates)))} one run after another" if own and rates else ""
        yield f"{said}: {len(here)} runs; to do: {len(own)} runs, {steps:,} steps, {updates:,} updates{cost}"


def _seconds(jobs: Sequence[Job], rates: Mapping[str, Rates]) -> list[float]:
    return [rates[job.kind].seconds(job.updates, job.stop - job.start) for job in jobs]


def _longest(jobs: Sequence[Job], seconds: Sequence[float]) -> float:
    """Return the seconds that the longest run takes, for a branch with those of its trunk, which runs before it."""
    own: dict[Path | None, float] = {job.folder: each for job, each in zip(jobs, seconds, strict=True)}
    return max(own[job.folder] + own.get(job.trunk, 0) for job in jobs)


def disk_in_words(disk: Disk, slots: int | None, keep_replay: bool) -> list[str]:
    """Return lines that tell how much disk space all runs take, and how much of it is kept at the end."""
    everything, kept = size(disk.everything), size(disk.trunks + disk.policies)
    of_what = f"trunks {size(disk.trunks)}, policies {size(disk.policies)}" if disk.trunks else "policies"
    if keep_replay:
        shared = "; branches share the replay files of their trunk" if disk.trunks else ""
        lines = [
            f"disk: {everything} for all runs, including their replays, all of it kept{shared}",
            f"with --keep-replay False, {kept} of it are kept ({of_what})",
        ]
    else:
        more = f"up to {size(disk.largest)} for each of the {f'{slots} ' if slots else ''}runs at once"
        lines = [
            f"disk: {kept} are kept ({of_what}), and {more} are used besides; without --keep-replay False, "
            f"{everything} are kept"
        ]
    if disk.trunks:
        lines.append(
            "trunks keep their replays, because branches begin with them; "
            f"{called('slim')} deletes them when all branches are done"
        )
    return lines


def size(count: float) -> str:
    """Return a number of bytes in MB or GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _rest(job: Job) -> Job:
    """Return the part of a run that is still to do, from its newest checkpoint on."""
    reached = max((step for step in steps_of(job.folder) if step >= job.start), default=job.start)
    if reached == job.start:
        return job
    share = (job.stop - reached) / (job.stop - job.start)
    return replace(job, start=reached, updates=round(share * job.updates))


# Memory and disk space, of which replays are the largest part


def memory_of_a_run(weights: Mapping[str, Weight]) -> float:
    """Return the bytes of memory that the largest run needs if its replay and its data are on the CPU."""
    return max(weight.replay + weight.memory for weight in weights.values()) + PROCESS


def gpu_memory_of_a_run(weights: Mapping[str, Weight], free: float) -> float:
    """Return the bytes of a GPU that the largest run needs with its data there, and its replay if it fits."""
    room = SHARE_OF_FREE_MEMORY * free  # a larger replay stays on the CPU
    replays = {kind: weight.replay if weight.replay < room else 0 for kind, weight in weights.items()}
    return max(weight.checkpoint + replays[kind] + weight.memory for kind, weight in weights.items()) + ON_GPU


def disk_of(jobs: Sequence[Job], weights: Mapping[str, Weight]) -> Disk:
    """Return the disk space of all runs when they are finished."""
    sizes = {job.folder: _size(job, weights[job.kind]) for job in jobs}
    others = [job for job in jobs if job.method != TRUNK]
    return Disk(
        everything=sum(sizes.values()),
        trunks=sum(sizes[job.folder] for job in jobs if job.method == TRUNK),
        policies=sum(len(_lasting(job, weights[job.kind])) * weights[job.kind].checkpoint for job in others),
        largest=max(sizes[job.folder] for job in others),
    )


def _size(job: Job, weight: Weight) -> float:
    """Return the bytes of a run's checkpoints and of the transitions that they need.

    The transitions of its trunk cost a branch nothing: they are links to the trunk's files.
    """
    settings = weight.settings
    before = job.stop - settings.checkpoint_every
    checkpoints = _lasting(job, weight) | ({before} if before > job.start else set())
    needed, end = 0, job.start // weight.steps_of_a_transition
    for step in sorted(checkpoints):
        last = step // weight.steps_of_a_transition
        needed += last - min(last, max(end, last - weight.transitions))
        end = last
    return needed * weight.replay / weight.transitions + len(checkpoints) * weight.checkpoint


def _lasting(job: Job, weight: Weight) -> set[int]:
    """Return the steps of the checkpoints that are never deleted."""
    return {job.stop, *(step for step in weight.settings.checkpoint_at if job.start < step < job.stop)}
