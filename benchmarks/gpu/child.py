"""The process of one part: `python -m benchmarks.gpu.child MODULE:FUNCTION SETTING ROWS`, started by `conduct`."""

import faulthandler
import importlib
import signal
import sys
from pathlib import Path

from .part import Rows, Setting

GRACE = 10  # seconds after its time in which a part that nobody stops ends itself


def main(entry: str, setting: Setting, rows: Rows) -> None:
    import torch

    from fire_rl.training.memory import keep_large_blocks

    keep_large_blocks()
    torch.set_num_threads(setting.threads)
    module, _, function = entry.partition(":")
    getattr(importlib.import_module(module), function)(setting, rows)
    if torch.cuda.is_initialized():
        rows.add("memory of this part", lambda: {"GiB": torch.cuda.max_memory_allocated(setting.place) / 2**30})


if __name__ == "__main__":
    entry, text, path = sys.argv[1:]
    given = Setting.from_json(text)
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # says where it is, before it is stopped
    faulthandler.dump_traceback_later(given.limit + GRACE, exit=True)
    main(entry, given, Rows(Path(path)))
