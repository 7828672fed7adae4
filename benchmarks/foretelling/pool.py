"""Measure many checkpoints in several processes, which end with this one.

The functions of the processes are not in __main__: a new process does not import the __main__ of a package.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from fire_rl.training.checkpoint import steps_of
from fire_rl.training.cost import duration_in_words
from fire_rl.training.stopping import STOPPED

from .measuring import measured
from .plan import Checkpoint
from .results import Record, write_results


def measure_all(
    checkpoints: Sequence[Checkpoint], records: dict[tuple[str, int], Record], path: Path, jobs: int
) -> None:
    """Measure the checkpoints that have no record yet, in several processes; each record is written at once."""
    left = [each for each in checkpoints if each.key not in records]
    there = [each for each in left if each.step in steps_of(each.run)]
    if missing := len(left) - len(there):
        print(f"{missing} checkpoints are missing: their runs diverged or failed")
    began, context = time.perf_counter(), get_context("spawn")
    before = signal.signal(signal.SIGTERM, _stop)
    pool = ProcessPoolExecutor(min(jobs, max(1, len(there))), context, initializer=end_with, initargs=(os.getpid(),))
    try:
        waiting = [pool.submit(_record, each) for each in there]
        for number, done in enumerate(as_completed(waiting), 1):
            record = msgspec.convert(done.result(), Record)
            records[record.key] = record
            write_results(path, records.values())
            rest = (time.perf_counter() - began) / number * (len(there) - number)
            said = record.error or ", ".join(
                f"{name} {each.trainability:.2f}" if each.trainability is not None else f"{name} –"
                for name, each in record.networks.items()
            )
            print(f"{record.run}@{record.step}: {said} (left: {duration_in_words(rest)})", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, before)


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    return measured(checkpoint.run, checkpoint.step, checkpoint.about)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(STOPPED)


def end_with(parent: int) -> None:
    """End this process when its parent has ended, however that happened."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which lets the present ones finish
