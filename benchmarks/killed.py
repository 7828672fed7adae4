"""Processes that die by SIGKILL where it is said: after a time, or just before their n-th file operation of a kind."""

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

# Forks processes from one that has everything imported, which takes longer than they live.
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ["fire_rl.commands.train", "benchmarks.differences", "torch._dynamo", "ale_py", "minatar", "mujoco"]
OPERATIONS = (
    *("fsync", "fdatasync", "rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link", "symlink"),
    *("truncate", "ftruncate", "write", "utime", "chmod"),
)
TIME = "time"  # the kind of a kill that waits for no operation
HANGS_AFTER = 300  # seconds


@dataclass(frozen=True)
class Death:
    """How a process dies: before its n-th operation of a kind, or after so many seconds."""

    kind: str
    when: float


@dataclass(frozen=True)
class Life:
    """How a process ended, and what it said."""

    code: int | None  # negative: the signal that ended it; None: it hung
    output: str
    seconds: float


class Tearing:
    """A file whose writes are operations; a process that dies before one leaves the first half of it."""

    def __init__(self, file: Any, before: Callable[[str, Callable[[], None]], None]) -> None:
        self._file, self._before = file, before

    def write(self, content: Any) -> Any:
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
    """Count this process's file operations by kind, writes to files of `folder` alone, and die where it is said."""

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
    for module in (io, builtins):  # pathlib asks for the one, shutil and TensorBoard for the other
        setattr(module, "open", opened)  # noqa: B010


def unrendered(figure: Figure, file: Any, **_: Any) -> None:
    """In place of `Figure.savefig`: drawing takes longer than a tiny run."""
    Image.new("L", (1, 1)).save(file, "png")


def live(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None) -> None:
    """The body of a process: a training script, everything it says in `log`, its operations counted beside it."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    setattr(Figure, "savefig", unrendered)  # noqa: B010
    tqdm.set_lock(threading.RLock())  # its own lock is between processes, and outlives one that is killed
    counts: Counter[str] = Counter()
    count_operations(folder.resolve(), counts, death)
    try:
        run_script(getattr(train, script), script, arguments)
    finally:
        log.with_suffix(".json").write_text(json.dumps(counts))
        sys.stdout.flush()


def begin(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None = None) -> Any:
    """Start a process, which the caller has to join."""
    process = PROCESSES.Process(target=live, args=(script, tuple(arguments), folder, log, death))
    process.start()
    return process


def begin_server() -> None:
    """Let the process begin that the others are forked from, so that no time includes its imports."""
    PROCESSES.set_forkserver_preload(PRELOADED)
    process = PROCESSES.Process(target=time.sleep, args=(0,))
    process.start()
    process.join()


def one_life(script: str, arguments: Sequence[str], folder: Path, log: Path, death: Death | None = None) -> Life:
    """Run a training script in a process of its own until it ends or dies."""
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
    """What is wrong with the end of a process that nobody killed; None where nothing is."""
    if life.code == 0 and "Traceback" not in life.output:
        return None
    end = "hung" if life.code is None else f"exit code {life.code}"
    return f"{' '.join(command)}\n    {end}: " + "\n    ".join(life.output.strip().splitlines()[-12:])
