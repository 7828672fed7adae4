"""Starts and stops a run as a child process with the ordinary command line; its output goes to a file."""

import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from fire_rl.place import called, launch
from fire_rl.training.folder import is_run
from fire_rl.training.stopping import STOPPED

from ..failure import BEGIN, open_log
from .grid import Job

SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec, another thread might hold the loader's lock


def start(job: Job, environment: Mapping[str, str] = {}, directory: Path | None = None) -> "subprocess.Popen[bytes]":
    """Begin the run, or resume it if its folder already holds a run.

    The process has its own session, so that Ctrl-C reaches only the comparison. It gets SIGTERM if its parent dies.
    """
    begun = is_run(job.folder)
    words = ("--resume", str(job.folder), *job.resumed_with) if begun else job.arguments
    with open_log(job.folder) as output:
        output.write(f"{BEGIN}{datetime.now():%Y-%m-%d %H:%M:%S} {called(job.agent)} {shlex.join(words)}\n".encode())
        output.flush()
        return subprocess.Popen(
            [*launch(job.agent), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=partial(_stop_with_parent, os.getpid()),
        )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process and its children at once; the last checkpoint stays."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the run to write a checkpoint and stop; do not wait for it."""
    if process.poll() is None:
        process.terminate()


def code_of(process: "subprocess.Popen[bytes]") -> int:
    """Return the exit code of a run that has ended.

    A run that was asked to stop before it could handle SIGTERM counts as stopped, too.
    """
    return STOPPED if process.returncode == -signal.SIGTERM else process.returncode


def _stop_with_parent(parent: int) -> None:
    """Ask Linux to send this process SIGTERM when the thread that started it ends."""
    LIBC.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before the call above
        os._exit(STOPPED)
