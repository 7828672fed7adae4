"""Runs a comparison on this machine, as several child processes at once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fire_rl.cores import usable_cores
from fire_rl.memory import SHARE_OF_FREE_MEMORY, available_memory

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
        """Return whether another run can be started now."""
        return len(self._running) < self.slots

    def start(self, job: Job) -> None:
        """Begin or resume a run, on the GPU of a free slot if there are GPUs."""
        slot = min(set(range(self.slots)) - {running.slot for running in self._running})
        gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
        environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        self._running.append(_Running(job, child.start(job, environment), slot))

    def wait(self, seconds: float) -> list[Ending]:
        """Return the runs that have ended as soon as there is one, or nothing after this many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            ended = [running for running in self._running if running.process.poll() is not None]
            if ended or time.monotonic() >= deadline:
                break
            time.sleep(POLL)
        self._running = [running for running in self._running if running not in ended]
        return [Ending(running.job, child.code_of(running.process)) for running in ended]

    def stop(self) -> None:
        """Ask every run to stop with a checkpoint; `wait` returns those that have stopped."""
        for running in self._running:
            child.stop(running.process)

    def describe(self) -> str:
        """Return how many runs there are at once, and on how many GPUs."""
        many = f"{len(self.gpus)} GPU{'s' * (len(self.gpus) > 1)}"
        return f"{self.slots} at once" + (f" on {many}" if self.gpus else "")

    def where(self, job: Job) -> str:
        """Return the machine of a run: nothing, as there is only this one."""
        return ""

    def close(self) -> None:
        """Kill the runs that are still running, as after a second Ctrl-C."""
        for running in self._running:
            child.kill(running.process)


def usable_gpus(flags: Flags) -> tuple[str | None, ...]:
    """Return the GPUs that runs will use: for each, the value of CUDA_VISIBLE_DEVICES that shows a run only this GPU.

    With --device cuda:N, the only value is None: a run finds that GPU by itself.
    """
    wants = _device(flags)
    if wants.startswith("cuda:"):
        return (None,)
    return tuple(map(_visible, range(torch.cuda.device_count()))) if wants in ("auto", "cuda") else ()


def warning_of_shared_gpus(flags: Flags, slots: int, memory_with: Callable[[float], float]) -> str | None:
    """Return a warning if the runs that share a GPU do not fit on it.

    `memory_with` returns the bytes of a GPU that a run needs, given the free ones. Runs begin together, so that each
    finds the GPU empty when it decides whether its replay fits there.
    """
    gpus = usable_gpus(flags)
    together = -(-slots // len(gpus)) if gpus else 0
    if together < 2 or not (free := free_on_gpus(flags)):
        return None
    memory = memory_with(min(free))
    fitting = int(SHARE_OF_FREE_MEMORY * min(free) / memory)
    if together <= fitting:
        return None
    return (
        f"warning: {together} runs at once on a GPU take about {together * memory / 1e9:.1f} GB of its memory, and "
        f"{min(free) / 1e9:.1f} GB are free, of which {1 - SHARE_OF_FREE_MEMORY:.0%} is kept for the rest: they may "
        f"run out of memory; --runs-per-gpu {max(1, fitting)} takes less"
    )


def free_on_gpus(flags: Flags) -> list[int]:
    """Return the free bytes of each GPU that runs will use; nothing if they are not known.

    Another process asks, because one that has asked keeps a part of the GPU's memory until it ends.
    """
    index = next((value for value in map(str, _device(flags).split(":")[1:]) if value.isdecimal()), "")
    which = f"[{index}]" if index else "range(torch.cuda.device_count())"
    code = f"import torch; print(*(torch.cuda.mem_get_info(index)[0] for index in {which}))"
    asked = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    return [int(word) for word in asked.stdout.split()] if asked.returncode == 0 else []


def _device(flags: Flags) -> str:
    return ("auto", *(values[0] for name, values in flags if name == "--device" and values))[-1]


def _visible(index: int) -> str:
    """Return the name of GPU number `index` among those that this process may use."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",")[index] if names else str(index)


def default_slots(threads: int, gpus: int, memory: float, runs_per_gpu: int | None = None) -> int:
    """Return how many runs there are at once: one per GPU unless `runs_per_gpu` says otherwise; without GPUs, as many
    as have CPU cores of their own. In both cases no more than fit into memory, at `memory` bytes each.
    """
    if runs_per_gpu is not None and not gpus:
        raise ValueError(f"--runs-per-gpu {runs_per_gpu} given, but the runs would use no GPU of this machine")
    in_memory = int(SHARE_OF_FREE_MEMORY * available_memory() / memory)
    return max(1, min(gpus * (runs_per_gpu or 1) or usable_cores() // threads, in_memory))
