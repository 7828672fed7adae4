"""What a comparison will take on this machine: measured on one run's parts before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.algorithms import Config, algorithm_of
from training.build import Parts, choose_device
from training.checkpoint import steps_of
from training.command_line import Preset
from training.cost import spoken, step_rate_of, update_rate_of
from training.memory import keep_large_blocks

from .grid import Grid, Job, asked_for

PROCESS = 1e9  # bytes of a run besides its replay


@dataclass(frozen=True)
class Rates:
    """Of one run alone on this machine's CPU."""

    updates_per_second: float
    steps_per_second: float

    def seconds(self, job: Job) -> float:
        return job.updates / self.updates_per_second + (job.stop - job.start) / self.steps_per_second


def weigh_and_time(grid: Grid, presets: Mapping[str, Preset], timed: bool) -> tuple[dict[str, int], dict[str, Rates]]:
    """Bytes of a run's replay in each environment and, if asked for, how fast a run is.

    From building its parts: what cannot work is found before the start. On the CPU: this process must not hold a GPU's
    memory while its runs need it.
    """
    replays, rates = {}, {}
    if timed:
        torch.set_num_threads(grid.threads)
    for env in grid.envs:
        config, parts = _build(grid, env, presets)
        replays[env] = _replay_bytes(parts)
        if timed:
            rates[env] = Rates(update_rate_of(config, parts), step_rate_of(parts))
    return replays, rates


def _build(grid: Grid, env: str, presets: Mapping[str, Preset]) -> tuple[Config, Parts]:
    config = asked_for(grid, env, presets).resolved()
    choose_device(config.run.device)
    config = replace(config, run=replace(config.run, device="cpu"))
    keep_large_blocks()
    return config, algorithm_of(config).build(config)


def _replay_bytes(parts: Parts) -> int:
    return sum(value.nbytes for value in vars(parts.replay).values() if isinstance(value, torch.Tensor))


def memory_of_a_run(replays: Mapping[str, int]) -> float:
    """Bytes that the largest run takes, its replay being on the CPU."""
    return max(replays.values()) + PROCESS


def say_plan(
    jobs: Sequence[Job],
    states: Mapping[Path, str],
    replays: Mapping[str, int],
    rates: Mapping[str, Rates],
    slots: int | None,
) -> None:
    """Every run with its command line, then what all of it costs.

    Without rates, as on a GPU, not how long it takes; without slots it is a cluster's business how many run at once.
    """
    for job in jobs:
        after = f", after {job.trunk.name}" if job.trunk else ""
        print(f"{job.name}: {states[job.folder]}, steps {job.start:,} to {job.stop:,}{after}\n    {job.command}")
    left = [_rest(job) for job in jobs if states[job.folder] not in ("finished", "failed")]
    steps, updates = sum(job.stop - job.start for job in left), sum(job.updates for job in left)
    finished = sum(states[job.folder] == "finished" for job in jobs)
    failed = sum(states[job.folder] == "failed" for job in jobs)
    also = f", {failed} failed, which --retry runs again" if failed else ""
    print(f"\n{len(jobs)} runs, {finished} of them finished{also}; to do: {steps:,} steps, {updates:,} updates")
    branches = [job for job in jobs if job.trunk]
    share = sum(job.stop - job.start for job in jobs) / max(1, sum(job.stop for job in branches))
    if branches and share < 1:
        print(f"shared trunks: {share:.0%} of the work of runs that each begin at step 0")
    if left and rates and slots:
        seconds = [rates[job.env].seconds(job) for job in left]
        time = spoken(max(sum(seconds) / slots, max(seconds)))
        print(f"about {time} with {slots} at once on this CPU, evaluations besides")
    elif left and slots:
        print(f"{slots} at once; how long it takes shows in the first minute")
    size = max(replays.values()) / 1e9
    print(f"replay of each run: up to {size:.2f} GB of memory, as much on disk, where branches share their trunk's")


def _rest(job: Job) -> Job:
    """What is left of a run, from its newest checkpoint on."""
    reached = max((step for step in steps_of(job.folder) if step >= job.start), default=job.start)
    if reached == job.start:
        return job
    share = (job.stop - reached) / (job.stop - job.start)
    return replace(job, start=reached, updates=round(share * job.updates))
