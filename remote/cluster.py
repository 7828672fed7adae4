"""Runs a comparison on a Ray cluster: each run is a task on some node, with the ordinary command line as its child.

The nodes share a file system. If a node is lost, Ray starts its tasks again on other nodes, where each run continues
from its last checkpoint.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fire_rl.experiments.failure import open_log
from fire_rl.experiments.sweep.conduct import Ending
from fire_rl.experiments.sweep.grid import Job
from fire_rl.place import ROOT
from fire_rl.training.stopping import STOPPED

from .joining import draining_nodes, join
from .node import perform
from .register import Register, check_sight

LOST = "the Ray cluster no longer answers; its runs stop by themselves, each with a checkpoint"
PROBE = 120.0  # seconds in which a node must answer; the first import from a shared disk is slow
# Environment variables that change how a run computes or draws, or where it is tracked. Others are not passed on.
PASSED_ON = (
    "MUJOCO_", "PYOPENGL_", "OMP_", "MKL_", "OPENBLAS_", "ATEN_", "TORCH", "PYTORCH_", "CUBLAS_", "NVIDIA_TF",
    "WANDB_", "MLFLOW_",
)  # fmt: skip


def say_aside(line: str) -> None:
    """Print a line to the standard error output."""
    print(line, file=sys.stderr, flush=True)


class RayPool:
    """A pool that gives runs to a Ray cluster as tasks, up to twice as many as the cluster can run at once.

    Without an address, it joins the cluster that is running on this machine, or else starts one that consists of this
    machine. If `gpus_per_run` is None, each run gets one GPU if the cluster has any; 0 hides GPUs from the runs.
    """

    def __init__(
        self, address: str | None, threads: int, gpus_per_run: float | None, folder: Path,
        say: Callable[[str], None] = say_aside, *, memory: float = 0,  # bytes of each run
    ) -> None:  # fmt: skip
        join(address)
        self.threads, self.memory, self._say = threads, int(memory), say
        self._nodes = _alive()
        gpus = any(node["Resources"].get("GPU") for node in self._nodes.values())
        self.gpus_per_run = float(gpus) if gpus_per_run is None else gpus_per_run
        self._jobs: dict[Any, Job] = {}  # by the task of each
        self._places: dict[str, tuple[str, str]] = {}  # by a run's folder: the node on which it is, and its address
        self._looked = time.monotonic()
        self._directory = str(Path.cwd())
        self._sign = folder.absolute() / "logs" / f"seen-{secrets.token_hex(8)}"
        self._sign.parent.mkdir(parents=True, exist_ok=True)
        self._sign.touch()
        try:
            self._check_nodes()
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        here = ray.get_runtime_context().get_node_id()
        # Any, because Ray's type hints do not describe what these calls return.
        actor: Any = ray.remote(Register)
        self._register = actor.options(num_cpus=0, max_concurrency=100_000, scheduling_strategy=_only_on(here)).remote()
        self._environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        if not self.gpus_per_run:
            self._environment["CUDA_VISIBLE_DEVICES"] = ""
        # A task is repeated only if its worker or node is lost, not if the run itself fails.
        task: Any = ray.remote(perform)
        self._task = task.options(
            num_cpus=self.threads, num_gpus=self.gpus_per_run, memory=self.memory or None, max_retries=-1,
            retry_exceptions=False,
        )  # fmt: skip

    def _check_nodes(self) -> None:
        """Check on every node with room for runs that it sees the comparison's folders, before any run begins."""
        look: Any = ray.remote(check_sight)
        found: dict[Any, str] = {}
        for node, about in self._nodes.items():
            if self._slots(about):
                address = about["NodeManagerAddress"]
                there = look.options(num_cpus=0, max_retries=0, scheduling_strategy=_only_on(node))
                found[there.remote(address, *self._seen())] = address
        answered, _ = ray.wait(list(found), num_returns=len(found), timeout=PROBE) if found else ([], [])
        for answer in answered:
            try:
                ray.get(answer)
            except RayTaskError as error:
                raise ValueError(_line(error, found[answer])) from None
            except RayError:  # the node has left the cluster meanwhile
                continue

    def _seen(self) -> tuple[str, str, str]:
        return self._directory, str(ROOT), str(self._sign)

    # The pool

    @property
    def slots(self) -> int:
        """The number of runs that the cluster's present nodes can run at once."""
        return sum(map(self._slots, self._nodes.values()))

    def describe(self) -> str:
        """Return one line that describes the cluster."""
        gpus = f" and {self.gpus_per_run:g} GPUs" if self.gpus_per_run else ""
        each = f"{self.threads} CPUs{gpus} each"
        nodes = f"{len(self._nodes)} node" + ("s" if len(self._nodes) > 1 else "")
        text = f"Ray cluster {ray.get_runtime_context().gcs_address}, {nodes}: "
        if self.slots:
            return f"{text}{self.slots} runs at once, {each}"
        return f"{text}no node has room for a run ({each}); runs wait until a larger node joins"

    def room(self) -> bool:
        """Return whether Ray has fewer than twice as many runs as slots, so that an autoscaler sees work to do."""
        return len(self._jobs) < max(2, 2 * self.slots)

    def start(self, job: Job) -> None:
        """Give a run to Ray as a task."""
        self._register.forget.remote(str(job.folder))
        self._places.pop(str(job.folder), None)
        task = self._task.remote(job, self._register, self._seen(), self._environment)
        self._jobs[task] = job

    def wait(self, seconds: float) -> list[Ending]:
        """Wait until a run has ended, at most this many seconds, and return all that have ended."""
        self._look()
        tasks = list(self._jobs)
        if not tasks or not ray.wait(tasks, timeout=seconds)[0]:
            return []
        ended, _ = ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [Ending(job := self._jobs.pop(task), self._code(task, job)) for task in ended]

    def stop(self) -> None:
        """Ask every run to stop with a checkpoint, and cancel those that have not begun."""
        self._places = self._ask(self._register.stop.remote())
        self._nodes = _alive()
        for task, job in list(self._jobs.items()):
            if self.where(job) is None:
                ray.cancel(task)
                self._jobs[ray.put(STOPPED)] = self._jobs.pop(task)

    def where(self, job: Job) -> str | None:
        """Return the address of the node on which a run is; None while the run waits for one."""
        node, address = self._places.get(str(job.folder), ("", ""))
        return address if node in self._nodes and job in self._jobs.values() else None

    def close(self) -> None:
        """Leave the cluster; a cluster that this process started ends."""
        self._sign.unlink(missing_ok=True)
        ray.shutdown()

    # Inside

    def _slots(self, node: Mapping[str, Any]) -> int:
        resources = node["Resources"]
        runs = resources.get("CPU", 0) / self.threads
        if self.memory:
            runs = min(runs, resources.get("memory", 0) / self.memory)
        on_gpus = resources.get("GPU", 0) / self.gpus_per_run if self.gpus_per_run else runs
        return int(min(runs, on_gpus) + 1e-9)  # because 0.3 / 0.1 is slightly below 3

    def _look(self) -> None:
        """Update on which nodes the runs are, and which nodes the cluster has, at most once a second."""
        if time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        before, self._nodes = self._nodes, _alive()
        for lost in before.keys() - self._nodes.keys():
            self._say(f"node {before[lost]['NodeManagerAddress']} is lost; its runs continue on other nodes")
        self._places = self._ask(self._register.places.remote())
        if leaving := draining_nodes():
            self._register.leave.remote(leaving)

    def _ask(self, answer: Any) -> dict[str, tuple[str, str]]:
        """Return the answer of the register; raise ConnectionError if the cluster does not answer."""
        try:
            return ray.get(answer, timeout=PROBE)
        except (RayError, TimeoutError):
            raise ConnectionError(LOST) from None

    def _code(self, task: Any, job: Job) -> int:
        """Return the exit code of a run; if its task failed, write the reason to the run's log and return 1."""
        try:
            return int(ray.get(task))
        except RayError as error:
            with open_log(job.folder) as log:
                log.write(f"{_line(error, self.where(job) or 'unknown')}\n".encode())
            return 1


def _only_on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _alive() -> dict[str, dict[str, Any]]:
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def _line(error: Exception, address: str) -> str:
    """Return the reason of one of Ray's errors in one line, with the node's address unless our message has it."""
    reason = getattr(error, "cause", None) or error
    last = ([line.strip() for line in str(reason).splitlines() if line.strip()] or [type(reason).__name__])[-1]
    return last if isinstance(reason, ValueError) else f"node {address}: {last}"
