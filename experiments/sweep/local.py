"""Runs on this machine: as many child processes at once as it has room for."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fire_rl.replay.transitions import SHARE_OF_FREE_MEMORY, available_memory
from fire_rl.training.threads import usable_cores

from . import child
from .axes import Flags
from .conduct import Ending
from .grid import Job

POLL = 0.1  # seconds


@dataclass
class _Running:
    job: Job
    process: "subprocess.Popen[bytes]"
    slot: int


class LocalPool:
    """At most `slots` runs at once, spread over the GPUs (see `usable_gpus`) where there are any."""

    def __init__(self, slots: int, gpus: Sequence[str | None] = ()) -> None:
        self.slots, self.gpus = slots, tuple(gpus)
        self._running: list[_Running] = []

    def room(self) -> bool:
        return len(self._running) < self.slots

    def start(self, job: Job) -> None:
        slot = min(set(range(self.slots)) - {running.slot for running in self._running})
        gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
        environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        self._running.append(_Running(job, child.start(job, environment), slot))

    def wait(self, seconds: float) -> list[Ending]:
        """The runs that have ended, as soon as there is one, or none after so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            ended = [running for running in self._running if running.process.poll() is not None]
            if ended or time.monotonic() >= deadline:
                break
            time.sleep(POLL)
        self._running = [running for running in self._running if running not in ended]
        return [Ending(running.job, child.code_of(running.process)) for running in ended]

    def stop(self) -> None:
        """Ask every run to stop with a checkpoint; `wait` tells when they have."""
        for running in self._running:
            child.stop(running.process)

    def describe(self) -> str:
        many = f"{len(self.gpus)} GPU{'s' * (len(self.gpus) > 1)}"
        return f"{self.slots} at once" + (f" on {many}" if self.gpus else "")

    def where(self, job: Job) -> str:
        return ""  # there is but one machine

    def close(self) -> None:
        """End what is still running, as after a second Ctrl-C."""
        for running in self._running:
            child.kill(running.process)


def usable_gpus(flags: Flags) -> tuple[str | None, ...]:
    """The GPUs that runs will use, each by the name under which a run is shown it alone.

    None: the one that --device cuda:N names, which a run finds by itself.
    """
    wants = ("auto", *(values[0] for name, values in flags if name == "--device" and values))[-1]
    if wants.startswith("cuda:"):
        return (None,)
    return tuple(map(_visible, range(torch.cuda.device_count()))) if wants in ("auto", "cuda") else ()


def _visible(index: int) -> str:
    """The name of this machine's GPU number `index`, of those this process may use."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",")[index] if names else str(index)


def default_slots(threads: int, gpus: int, memory: float, runs_per_gpu: int | None = None) -> int:
    """One run per GPU, or as many as were asked for; without a GPU as many as have cores of their own.

    No more than fit into memory, at so many bytes each.
    """
    if runs_per_gpu is not None and not gpus:
        raise ValueError(f"--runs-per-gpu {runs_per_gpu} given; the runs would use no GPU of this machine")
    in_memory = int(SHARE_OF_FREE_MEMORY * available_memory() / memory)
    return max(1, min(gpus * (runs_per_gpu or 1) or usable_cores() // threads, in_memory))
