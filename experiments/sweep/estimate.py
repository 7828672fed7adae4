"""What a comparison will take on this machine: measured on one run's parts before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from replay.transitions import SHARE_OF_FREE_MEMORY, available_memory
from training.algorithms import Config, algorithm_of
from training.build import Parts, choose_device
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


def check_and_weigh(grid: Grid, presets: Mapping[str, Preset]) -> dict[str, int]:
    """Bytes of a run's replay in each environment, from building its parts: what cannot work is found before the start.

    On the CPU: this process must not hold a GPU's memory while its runs need it.
    """
    return {env: _replay_bytes(_build(grid, env, presets)[1]) for env in grid.envs}


def measure(grid: Grid, presets: Mapping[str, Preset]) -> dict[str, Rates]:
    """How fast a run is, in each environment."""
    torch.set_num_threads(grid.threads)
    found = {}
    for env in grid.envs:
        config, parts = _build(grid, env, presets)
        found[env] = Rates(update_rate_of(config, parts), step_rate_of(parts))
    return found


def _build(grid: Grid, env: str, presets: Mapping[str, Preset]) -> tuple[Config, Parts]:
    config = asked_for(grid, env, presets).resolved()
    choose_device(config.run.device)
    config = replace(config, run=replace(config.run, device="cpu"))
    keep_large_blocks()
    return config, algorithm_of(config).build(config)


def _replay_bytes(parts: Parts) -> int:
    return sum(value.nbytes for value in vars(parts.replay).values() if isinstance(value, torch.Tensor))


def slots_in_memory(replays: Mapping[str, int]) -> int:
    """How many runs the free memory holds, were their replays on the CPU."""
    return max(1, int(SHARE_OF_FREE_MEMORY * available_memory() / (max(replays.values()) + PROCESS)))


def say_plan(
    jobs: Sequence[Job], states: Mapping[Path, str], replays: Mapping[str, int], rates: Mapping[str, Rates], slots: int
) -> None:
    """Every run with its command line, then what all of it costs; without rates, as on a GPU, not how long it takes."""
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
        print(f"about {spoken(max(seconds / slots, longest))} with {slots} at once on this CPU, evaluations besides")
    elif left:
        print(f"{slots} at once; how long it takes shows in the first minute")
    size = max(replays.values()) / 1e9
    print(f"replay of each run: up to {size:.2f} GB of memory, as much on disk, where branches share their trunk's")
