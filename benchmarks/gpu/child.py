"""The process of one part: `python -m benchmarks.gpu.child MODULE:FUNCTION SETTING ROWS`, started by `conduct`."""

import faulthandler
import importlib
import signal
import sys
from pathlib import Path

from .part import Rows, Setting

GRACE = 10  # seconds after its limit at which a part ends itself if it was not stopped


def main(entry: str, setting: Setting, rows: Rows) -> None:
    """Run one part in this process."""
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
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # prints the current line before the part is stopped
    faulthandler.dump_traceback_later(given.limit + GRACE, exit=True)
    main(entry, given, Rows(Path(path)))
