"""A run as a child process: the ordinary command line, its output in a file, stopped by SIGTERM with a checkpoint."""

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
from fire_rl.training.stopping import STOPPED

from ..failure import BEGIN, open_log
from .grid import Job

SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
LIBC = ctypes.CDLL(None)  # not between fork and exec, where another thread may have held the loader's lock


def start(
    job: Job, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Begin the run, or continue it where its folder is one already.

    It has a session of its own, so that Ctrl-C reaches the comparison alone, and is asked to stop when its parent dies.
    """
    begun = (job.folder / "config.json").exists()
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
            env=os.environ | dict(environment or {}),
            start_new_session=True,
            preexec_fn=partial(_stop_with_parent, os.getpid()),
        )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End it and all that it began, now; its last checkpoint stays."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask for a checkpoint and an end; does not wait."""
    if process.poll() is None:
        process.terminate()


def code_of(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a run that has ended; one asked to stop while it was still beginning has stopped, too."""
    return STOPPED if process.returncode == -signal.SIGTERM else process.returncode


def _stop_with_parent(parent: int) -> None:
    """Linux sends the signal when the thread that forked ends."""
    LIBC.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # gone before it was watched
        os._exit(STOPPED)
