"""Runs processes that kill themselves with SIGKILL after a time, or just before their n-th file operation of a kind."""

import builtins
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from fire_rl.commands import train
from fire_rl.training.command_line import main as run_script

# Processes are forked from one that has imported everything, because the imports take longer than their short runs.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["fire_rl.commands.train", "benchmarks.differences", "torch._dynamo", "ale_py", "minatar", "mujoco"]
OPERATIONS = (
    *("fsync", "fdatasync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link", "symlink"),
    *("truncate", "ftruncate", "write", "utime", "chmod"),
)
TIME = "time"  # the kind of a kill after a time
HANGS_AFTER = 300  # seconds


@dataclass(frozen=True)
class Death:
    """The place of a kill: before the n-th operation of a kind, or after a time."""

    kind: str
    when: float  # n, or seconds


@dataclass(frozen=True)
class Life:
    """The exit code and the output of a process."""

    code: int | None  # negative: the signal that ended it; None: it did not end in time
    output: str
    seconds: float


class Tearing:
    """A file whose writes are counted as operations; if the process is killed at a write, half of it is written."""

    def __init__(self, file: Any, before: Callable[[str, Callable[[], None]], None]) -> None:
        self._file, self._before = file, before

    def write(self, content: Any) -> Any:
        """Count the write, and then write."""
        view = content if isinstance(content, str) else memoryview(content).cast("B")

        def half() -> None:
            self._file.write(view[: len(view) // 2])
            self._file.flush()

        self._before("write", half)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Tearing":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)


def count_operations(folder: Path, counts: Counter[str], death: Death | None) -> None:
    """Count this process's file operations by kind (writes only in `folder`), and kill the process at its place."""

    def before(kind: str, last: Callable[[], None] = lambda: None) -> None:
        counts[kind] += 1
        if death is not None and kind == death.kind and counts[kind] == death.when:
            last()
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            before(kind)
            return real(*arguments, **options)

        return operation

    real_open = io.open

    def opened(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = real_open(path, mode, *arguments, **options)
        if not set(mode) & set("wax+"):
            return file
        name = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path.cwd() / os.fsdecode(path)
        return Tearing(file, before) if name.is_relative_to(folder) else file

    for kind in OPERATIONS:
        setattr(os, kind, counted(kind, getattr(os, kind)))
    for module in (io, builtins):  # pathlib uses io.open, shutil and TensorBoard use builtins.open
        setattr(module, "open", opened)  # noqa: B010


def unrendered(figure: Figure, file: Any, **_: Any) -> None:
    """Replace `Figure.savefig` with a picture of one pixel, because drawing takes longer than a tiny run."""
    Image.new("L", (1, 1)).save(file, "png")


def live(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None) -> None:
    """Run a training script in this process, with its output in `log` and the counts of its operations beside it."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    setattr(Figure, "savefig", unrendered)  # noqa: B010
    tqdm.set_lock(threading.RLock())  # tqdm's default lock is shared by processes, and a killed one never releases it
    counts: Counter[str] = Counter()
    count_operations(folder.resolve(), counts, death)
    try:
        run_script(getattr(train, script), script, arguments)
    finally:
        log.with_suffix(".json").write_text(json.dumps(counts))
        sys.stdout.flush()


def begin(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None = None) -> Any:
    """Start a process and return it; the caller must join it."""
    process = PROCESSES.Process(target=live, args=(script, tuple(arguments), folder, log, death))
    process.start()
    return process


def begin_server() -> None:
    """Start the process from which the others are forked, so that no measured time includes the imports."""
    PROCESSES.set_forkserver_preload(PRELOADED)
    process = PROCESSES.Process(target=time.sleep, args=(0,))
    process.start()
    process.join()


def one_life(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None = None) -> Life:
    """Run a training script in a process of its own until it ends or is killed."""
    start = time.perf_counter()
    log.unlink(missing_ok=True)
    process = begin(script, arguments, folder, log, death)
    process.join(death.when if death is not None and death.kind == TIME else HANGS_AFTER)
    hung = process.exitcode is None and not (death is not None and death.kind == TIME)
    if process.exitcode is None:
        process.kill()
        process.join()
    output = log.read_text(errors="replace") if log.exists() else ""
    return Life(None if hung else process.exitcode, output, time.perf_counter() - start)


def judge(life: Life, command: Sequence[str]) -> str | None:
    """Return how a process failed that was not killed; None if it ended without an error."""
    if life.code == 0 and "Traceback" not in life.output:
        return None
    end = f"did not end within {HANGS_AFTER} s" if life.code is None else f"exit code {life.code}"
    return f"{' '.join(command)}\n    {end}: " + "\n    ".join(life.output.strip().splitlines()[-12:])
