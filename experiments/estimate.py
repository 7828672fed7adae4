"""What a comparison will take on this machine: measured on one run's parts before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from replay.transitions import SHARE_OF_FREE_MEMORY, available_memory
from training.algorithms import algorithm_of
from training.command_line import Preset
from training.cost import spoken, step_rate_of, update_rate_of
from training.memory import keep_large_blocks

from .grid import Grid, Job, asked_for

PROCESS = 1e9  # bytes of a run besides its replay


@dataclass(frozen=True)
class Rates:
    """Of one run alone on this machine."""

    updates_per_second: float
    steps_per_second: float
    replay_bytes: int  # on the CPU

    def seconds(self, job: Job) -> float:
        return job.updates / self.updates_per_second + (job.stop - job.start) / self.steps_per_second


def measure(grid: Grid, presets: Mapping[str, Preset]) -> dict[str, Rates]:
    """For each environment, by building a run's parts, which also finds what cannot work before anything is written."""
    keep_large_blocks()
    torch.set_num_threads(grid.threads)
    found = {}
    for env in grid.envs:
        config = asked_for(grid, env, presets).resolved()
        parts = algorithm_of(config).build(config)
        held = [value for value in vars(parts.replay).values() if isinstance(value, torch.Tensor)]
        size = sum(tensor.nbytes for tensor in held if tensor.device.type == "cpu")
        found[env] = Rates(update_rate_of(config, parts), step_rate_of(parts), size)
        parts.environment.close()
    return found


def slots_in_memory(rates: Mapping[str, Rates]) -> int:
    """How many runs the free memory holds."""
    each = max(rate.replay_bytes for rate in rates.values()) + PROCESS
    return max(1, int(SHARE_OF_FREE_MEMORY * available_memory() / each))


def say_plan(jobs: Sequence[Job], states: Mapping[Path, str], rates: Mapping[str, Rates], slots: int) -> None:
    """Every run with its command line, then what all of it costs."""
    for job in jobs:
        after = f", after {job.trunk.name}" if job.trunk else ""
        print(f"{job.name}: {states[job.folder]}, steps {job.start:,} to {job.stop:,}{after}\n    {job.command}")
    left = [job for job in jobs if states[job.folder] != "finished"]
    steps, updates = sum(job.stop - job.start for job in left), sum(job.updates for job in left)
    print(f"\n{len(jobs)} runs, {len(jobs) - len(left)} of them finished; to do: {steps:,} steps, {updates:,} updates")
    if any(job.trunk for job in jobs):
        separate = sum(job.stop for job in jobs if job.trunk)
        share = sum(job.stop - job.start for job in jobs) / separate
        print(f"shared trunks: {share:.0%} of the work of runs that each begin at step 0")
    if left and rates:
        seconds = sum(rates[job.env].seconds(job) for job in left)
        longest = max(rates[job.env].seconds(job) for job in left)
        print(
            f"about {spoken(max(seconds / slots, longest))} with {slots} at once on this machine, evaluations besides; "
            f"{len(jobs)} folders of checkpoints with a replay of up to "
            f"{max(rate.replay_bytes for rate in rates.values()) / 1e9:.2f} GB, which branches share with their trunk"
        )
