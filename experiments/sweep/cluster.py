"""Runs on a Ray cluster: each is a task that has the ordinary command line as a child process, on whichever node.

The nodes share a file system. A lost node takes its tasks with it; Ray gives them to other nodes, where each run
continues from its last checkpoint.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.stopping import STOPPED

from ..failure import open_log
from .conduct import Ending
from .grid import ROOT, Job
from .node import perform
from .register import Register, check_sight

INSTALL = '--ray needs the package ray: pip install -e ".[ray]" in the checkout'
LOST = "the Ray cluster is gone; its runs stop by themselves, with a checkpoint"
CURRENT = Path("/tmp/ray/ray_current_cluster")  # where Ray keeps the address of a cluster begun on this machine
REACH = 10.0  # seconds in which the head of a cluster has to answer
PROBE = 120.0  # seconds in which a node has to say what it sees; the first import from a shared disk is slow
OBJECT_STORE = 100 * 2**20  # bytes, for a cluster of our own: nothing but exit codes goes through it
# What makes a run compute or draw differently goes with it; the rest of the environment is the node's own.
PASSED_ON = ("MUJOCO_", "PYOPENGL_", "OMP_", "MKL_", "OPENBLAS_", "ATEN_", "TORCH", "PYTORCH_", "CUBLAS_", "NVIDIA_TF")


def say_aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class RayPool:
    """Gives runs to a Ray cluster as tasks, somewhat more of them than it can run at once.

    Without an address it joins the cluster that is running on this machine, or else begins one of this machine alone.
    `gpus_per_run` None is one where the cluster has any; 0 hides GPUs from the runs.
    """

    def __init__(
        self,
        address: str | None,
        threads: int,
        gpus_per_run: float | None,
        folder: Path,
        say: Callable[[str], None] = say_aside,
        *,
        memory: float = 0,  # bytes of each run
    ) -> None:
        self._ray = connect(address)
        self.threads, self.memory, self._say = threads, int(memory), say
        self._nodes = self._alive()
        gpus = any(node["Resources"].get("GPU") for node in self._nodes.values())
        self.gpus_per_run = float(gpus) if gpus_per_run is None else gpus_per_run
        self._jobs: dict[Any, Job] = {}
        self._places: dict[str, tuple[str, str]] = {}
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
        ray, here = self._ray, self._ray.get_runtime_context().get_node_id()
        by_us = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        actor = ray.remote(Register).options(num_cpus=0, max_concurrency=100_000, scheduling_strategy=by_us)
        self._register = actor.remote()
        self._environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        if not self.gpus_per_run:
            self._environment["CUDA_VISIBLE_DEVICES"] = ""
        # Only what happens to a worker or its node is tried again: a run that fails has failed.
        self._task = ray.remote(perform).options(
            num_cpus=self.threads,
            num_gpus=self.gpus_per_run,
            memory=self.memory or None,
            max_retries=-1,
            retry_exceptions=False,
        )

    def _check_nodes(self) -> None:
        """Every node that will have runs sees their folder, before there are any."""
        ray, found = self._ray, {}
        for node, about in self._nodes.items():
            if self._slots(about):
                there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
                look = ray.remote(check_sight).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
                found[look.remote(about["NodeManagerAddress"], *self._seen())] = about["NodeManagerAddress"]
        answered, _ = ray.wait(list(found), num_returns=len(found), timeout=PROBE) if found else ([], [])
        for answer in answered:
            try:
                ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise ValueError(_line(error, found[answer])) from None
            except ray.exceptions.RayError:  # the node went away meanwhile
                continue

    def _seen(self) -> tuple[str, str, str]:
        return self._directory, str(ROOT), str(self._sign)

    # The pool

    @property
    def slots(self) -> int:
        """Runs that the cluster, as it is now, can have at once."""
        return sum(map(self._slots, self._nodes.values()))

    def describe(self) -> str:
        """The cluster in one line."""
        gpus = f" and {self.gpus_per_run:g} GPUs" if self.gpus_per_run else ""
        each = f"{self.threads} CPUs{gpus} each"
        nodes = f"{len(self._nodes)} node" + ("s" if len(self._nodes) > 1 else "")
        text = f"Ray cluster {self._ray.get_runtime_context().gcs_address}, {nodes}: "
        if self.slots:
            return f"{text}{self.slots} runs at once, {each}"
        return f"{text}none has room for a run ({each}); runs wait until one joins that has"

    def room(self) -> bool:
        """As many again wait as run: Ray needs no more, and an autoscaler sees that more nodes have work."""
        return len(self._jobs) < max(2, 2 * self.slots)

    def start(self, job: Job) -> None:
        self._register.forget.remote(str(job.folder))
        self._places.pop(str(job.folder), None)
        task = self._task.remote(job, self._register, self._seen(), self._environment)
        self._jobs[task] = job

    def wait(self, seconds: float) -> list[Ending]:
        """The runs that have ended, as soon as there is one, or none after so many seconds."""
        self._look()
        tasks = list(self._jobs)
        if not tasks:
            return []
        if self._ray.wait(tasks, timeout=seconds)[0]:
            tasks, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
            return [Ending(job := self._jobs.pop(task), self._code(task, job)) for task in tasks]
        return []

    def stop(self) -> None:
        """Ask every run to stop with a checkpoint; those that have not begun do not begin any more."""
        self._places = self._ask(self._register.stop.remote())
        self._nodes = self._alive()
        for task, job in list(self._jobs.items()):
            if self.where(job) is None:
                self._ray.cancel(task)
                self._jobs[self._ray.put(STOPPED)] = self._jobs.pop(task)

    def where(self, job: Job) -> str | None:
        """The address of the node that has the run; None while it waits for one."""
        node, address = self._places.get(str(job.folder), ("", ""))
        return address if node in self._nodes and job in self._jobs.values() else None

    def close(self) -> None:
        """Leave the cluster; one of our own ends with that."""
        self._sign.unlink(missing_ok=True)
        self._ray.shutdown()

    # Inside

    def _alive(self) -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def _slots(self, node: Mapping[str, Any]) -> int:
        resources = node["Resources"]
        runs = resources.get("CPU", 0) / self.threads
        if self.memory:
            runs = min(runs, resources.get("memory", 0) / self.memory)
        return int(min(runs, resources.get("GPU", 0) / self.gpus_per_run) if self.gpus_per_run else runs)

    def _look(self) -> None:
        """Where the runs are, and which nodes came and went."""
        if time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        before, self._nodes = self._nodes, self._alive()
        for lost in before.keys() - self._nodes.keys():
            self._say(f"node {before[lost]['NodeManagerAddress']} is gone; its runs continue on others")
        self._places = self._ask(self._register.places.remote())
        if leaving := self._draining():
            self._register.leave.remote(leaving)

    def _ask(self, answer: Any) -> dict[str, tuple[str, str]]:
        """What the register says; a cluster that does not answer is gone."""
        try:
            return self._ray.get(answer, timeout=PROBE)
        except (self._ray.exceptions.RayError, TimeoutError):
            raise ConnectionError(LOST) from None

    def _draining(self) -> list[str]:
        """Nodes that are about to be taken away; Ray has no public name for these."""
        from ray._private.state import state

        return list(state.get_draining_nodes()) if hasattr(state, "get_draining_nodes") else []

    def _code(self, task: Any, job: Job) -> int:
        """A run's exit code; why there is none goes to its log."""
        try:
            return int(self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            with open_log(job.folder) as log:
                log.write(f"{_line(error, self.where(job) or 'unknown')}\n".encode())
            return 1


def _line(error: Exception, address: str) -> str:
    """The reason alone, of what Ray says in many lines; our own says where."""
    reason = getattr(error, "cause", None) or error
    last = ([line.strip() for line in str(reason).splitlines() if line.strip()] or [type(reason).__name__])[-1]
    return last if isinstance(reason, ValueError) else f"node {address}: {last}"


# Joining a cluster


def connect(address: str | None) -> Any:
    """Ray, with this process in its cluster; raises ValueError, in one line, where there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # hushes a warning; runs are told which GPUs
    try:
        import ray
        import ray._private.worker
        import ray.util.scheduling_strategies
    except ImportError:
        raise ValueError(INSTALL) from None
    if address is None:
        address = _running()
    elif "://" in address:
        raise ValueError(f"--ray {address} given; allowed is HOST:PORT, from a machine that shares the nodes' folders")
    elif address != "auto" and not _answers(address):
        raise ValueError(f"--ray {address} given; no Ray cluster answers there (as HOST:PORT, such as 10.0.0.5:6379)")
    local: dict[str, Any] = {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": OBJECT_STORE}
    # A worker that ends would kill its run at once; it is to be asked to stop, as by the death of any parent.
    variables = {"PYTHONPATH": _python_path(), "RAY_kill_child_processes_on_worker_exit": "0"}
    handler = signal.getsignal(signal.SIGTERM)
    # Ray tells of every lost worker in screens of text; the pool says it in a line.
    ray._private.worker.print_to_stdstream = lambda *data, **options: None
    try:
        ray.init(
            address=address or "local",
            runtime_env={"env_vars": variables},
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else local),
        )
    except (ConnectionError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--ray {address or ''}: {reason}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # ours, not Ray's
    return ray


def _running() -> str | None:
    """The address of a cluster that answers, of those this machine knows of."""
    given = os.environ.get("RAY_ADDRESS")
    if given:
        return given
    address = CURRENT.read_text().strip() if CURRENT.exists() else ""
    return address if _answers(address) else None  # Ray itself would try a dead one for minutes


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except OSError:
        return False
    return True


def _python_path() -> str:
    """Workers find the rooms of this checkout, wherever they are begun."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
