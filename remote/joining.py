"""How this process joins a Ray cluster, or begins one of this machine alone.

Two names of Ray that are used here are private, because Ray 2.60 has no public ones: that of the function that prints
what happens to workers, and that of the list of draining nodes. Ray's own training library uses the second one too.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from fire_rl.place import ROOT

CURRENT = Path("/tmp/ray/ray_current_cluster")  # where Ray keeps the address of a cluster begun on this machine
REACH = 10.0  # seconds in which the head of a cluster has to answer
OBJECT_STORE = 100 * 2**20  # bytes, for a cluster of our own: nothing but exit codes goes through it


def join(address: str | None) -> None:
    """Put this process into a cluster; ValueError, in one line, where there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning; runs are told which GPUs
    if address is None:
        address = _running()
    elif "://" in address:
        raise ValueError(f"--ray {address} given; allowed is HOST:PORT, from a machine that shares the nodes' folders")
    elif address != "auto" and not _answers(address):
        raise ValueError(f"--ray {address} given; no Ray cluster answers there (as HOST:PORT, such as 10.0.0.5:6379)")
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        # A worker that ends would kill its run at once; the run is to be asked to stop, as when any parent dies.
        "RAY_kill_child_processes_on_worker_exit": "0",
    }
    own: dict[str, Any] = {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": OBJECT_STORE}
    _print_nothing()
    try:
        with _own_handler_of_sigterm():
            ray.init(
                address=address or "local",
                runtime_env={"env_vars": variables},
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if address else own),
            )
    except (ConnectionError, RuntimeError) as error:
        raise ValueError(f"--ray {address or ''}: {' '.join(str(error).split())}") from None


def draining_nodes() -> list[str]:
    """Nodes that are about to be taken away, where this version of Ray tells."""
    with suppress(ImportError, AttributeError):
        from ray._private.state import state

        return list(state.get_draining_nodes())
    return []


def _print_nothing() -> None:
    """Ray prints screens of text about every lost worker, whatever its settings; the pool says it in a line."""
    with suppress(ImportError):
        from ray._private import worker

        worker.print_to_stdstream = lambda *data, **options: None


@contextmanager
def _own_handler_of_sigterm() -> Iterator[None]:
    """Ray sets its own handler when it begins."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _running() -> str | None:
    """The address of a cluster that answers, of those that this machine knows of."""
    if given := os.environ.get("RAY_ADDRESS"):
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
