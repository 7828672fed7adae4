"""The process of one part: `python -m benchmarks.gpu.child .MODULE:FUNCTION SETTING ROWS`, started by `conduct`."""

import faulthandler
import gc
import importlib
import signal
import sys
from contextlib import suppress
from pathlib import Path

import torch

from .part import Rows, Setting

GRACE = 10  # seconds after its limit at which a part ends itself if it was not stopped


def main(entry: str, setting: Setting, rows: Rows) -> None:
    """Run one part in this process."""
    prepare(setting)
    module, _, function = entry.partition(":")
    run = getattr(importlib.import_module(module, "benchmarks.gpu"), function)
    gc.collect()
    gc.freeze()  # as a run does: collections, of which each capture begins with one, then skip what was imported
    run(setting, rows)
    if torch.cuda.is_initialized():
        rows.add("memory of this part", lambda: {"GiB": torch.cuda.max_memory_allocated(setting.place) / 2**30})


def prepare(setting: Setting) -> None:
    """Set the number of threads; on a CPU, also keep freed blocks as a run does, if the packages for it are there."""
    torch.set_num_threads(setting.threads)
    if not setting.card:
        with suppress(ModuleNotFoundError):
            from fire_rl.training.memory import keep_large_blocks

            keep_large_blocks()


if __name__ == "__main__":
    entry, text, path = sys.argv[1:]
    given = Setting.from_json(text)
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # prints the current line before the part is stopped
    faulthandler.dump_traceback_later(given.limit + GRACE, exit=True)
    main(entry, given, Rows(Path(path)))
