"""The code that runs on a node of a cluster: a task that starts one run as its child process."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray

from fire_rl.experiments.sweep import child
from fire_rl.experiments.sweep.grid import Job
from fire_rl.experiments.sweep.states import state_of
from fire_rl.training.divergence import DIVERGED
from fire_rl.training.files import FolderLock, InUse
from fire_rl.training.stopping import STOPPED

from .register import check_sight

POLL = 0.5  # seconds between two checks of a child process
# A node that loses its connection gives up after a minute; then its runs write a checkpoint and release their folders.
LOCK_LIMIT = 300.0


def perform(job: Job, register: Any, seen: tuple[str, str, str], environment: Mapping[str, str]) -> int:
    """Begin or resume a run on this node, stop it if that is requested, and return its exit code."""
    terminated = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
    try:
        node, address = ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()
        check_sight(address, *seen)
        # `ray.get` and `ray.wait` are not used: while a task waits in them, Ray gives its CPUs to another task.
        if not register.begin.remote(str(job.folder), node, address).future().result():
            return STOPPED
        # If the comparison ends, this call fails, which also counts as a request to stop.
        told = register.told_to_stop.remote(node).future()

        def stopping(seconds: float) -> bool:
            time.sleep(seconds)
            return told.done() or terminated.is_set()

        os.chdir(seen[0])
        if (state := state_of(job)) in ("finished", "diverged"):  # its earlier node was lost before it reported this
            return 0 if state == "finished" else DIVERGED
        if not wait_for_folder(job.folder, LOCK_LIMIT, stopping):
            return STOPPED
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray sets it; a run gets the value of the comparison instead
        process = child.start(job, environment, Path(seen[0]))
        while process.poll() is None and not stopping(POLL):
            pass
        child.stop(process)
        process.wait()
        return child.code_of(process)
    finally:
        signal.signal(signal.SIGTERM, previous)


def wait_for_folder(folder: Path, limit: float, stopping: Callable[[float], bool]) -> bool:
    """Wait until no other process, such as one on a lost node, has the run open. Return False if a stop comes first."""
    deadline = time.monotonic() + limit
    while folder.exists():
        try:
            FolderLock(folder).release()
            return True
        except InUse as error:
            if time.monotonic() >= deadline:
                raise ValueError(
                    f"{error}; waited {limit:g} s; perhaps a node that seemed lost is still running it"
                ) from None
        if stopping(POLL):
            return False
    return True
