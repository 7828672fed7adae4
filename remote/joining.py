"""Joins a Ray cluster, or starts one that consists of this machine.

Two private functions of Ray are used here, because Ray 2.60 has no public ones for this: the function that prints
messages about workers, and the one that lists draining nodes. Ray's own training library uses the second one, too.
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

from fire_rl.cores import usable_cores
from fire_rl.place import ROOT
from fire_rl.training.error_words import message_of

CURRENT = Path("/tmp/ray/ray_current_cluster")  # Ray's file with the address of a cluster started on this machine
REACH = 10.0  # seconds in which the head of a cluster must answer
OBJECT_STORE = 100 * 2**20  # bytes, for a cluster of our own, which stores little more than exit codes


def join(address: str | None) -> None:
    """Join the cluster at an address; raise ValueError if there is none. Without an address, find or start one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # avoids a warning; the pool sets the GPUs of runs
    given = f"--ray {address} given"
    if address is None:
        address = _running()
    elif "://" in address:
        raise ValueError(f"{given}; allowed is HOST:PORT; run compare.py on a machine that shares the nodes' folders")
    elif address != "auto" and not _answers(address):
        raise ValueError(f"{given}; no Ray cluster answers there; allowed is HOST:PORT, such as 10.0.0.5:6379")
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        # Otherwise Ray kills a run at once when its worker ends; the run should stop with a checkpoint instead.
        "RAY_kill_child_processes_on_worker_exit": "0",
    }
    own: dict[str, Any] = {"num_cpus": usable_cores(), "object_store_memory": OBJECT_STORE}
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
        raise ValueError(f"--ray {address or ''}: {message_of(error)}") from None


def draining_nodes() -> list[str]:
    """Return the nodes that are about to leave the cluster, if this version of Ray can list them."""
    with suppress(ImportError, AttributeError):
        from ray._private.state import state

        return list(state.get_draining_nodes())
    return []


def _print_nothing() -> None:
    """Silence Ray's long messages about lost workers, for which it has no setting; the pool prints one line instead."""
    with suppress(ImportError):
        from ray._private import worker

        worker.print_to_stdstream = lambda *data, **options: None


@contextmanager
def _own_handler_of_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces when it starts."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _running() -> str | None:
    """Return the address of a cluster in RAY_ADDRESS, or of a running one on this machine; None if there is none."""
    if given := os.environ.get("RAY_ADDRESS"):
        return given
    address = CURRENT.read_text().strip() if CURRENT.exists() else ""
    return address if _answers(address) else None  # Ray itself would try a dead cluster for minutes


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except OSError:
        return False
    return True
