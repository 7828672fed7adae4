"""The loop of a tracker's process: reads what the run says, line by line, and hands it to the tracker.

What it answers are lines of JSON too: `ready` once the tracker is imported, `where` it is to be seen, `done` with how
many lines were handled, `failed` with the reason, after which it ends, and `finished`.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

BUILT_IN = {
    "wandb": ("fire_rl_trackers.with_wandb", "WandbTracker"),
    "mlflow": ("fire_rl_trackers.with_mlflow", "MlflowTracker"),
}
ANSWERED_EVERY = 1.0  # seconds, at least, while more is waiting
GRACE = 300.0  # seconds that a tracker may still take when the run's process is gone
PIECE = 65_536  # bytes


def main(name: str, asked: int, answered: int) -> None:
    """`asked` and `answered` are the descriptors of two pipes to the run's process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _outlived)  # sent to a whole job they are the run's, which stops and then says so
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.nice(5)  # the run comes first

    def answer(**values: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # of a run that is gone; what it said is still to be handled
            os.write(answered, (json.dumps(values) + "\n").encode())

    doing = "import"
    try:
        tracker, last = _made(name), ""
        answer(ready=True)
        answered_at = time.monotonic()
        for handled, (message, waiting) in enumerate(_messages(asked), 1):
            doing = last = message.pop("verb")
            verb: Callable[..., Any] | None = getattr(tracker, doing, None)
            found = verb(**message) if verb is not None else None
            if doing == "begin" and isinstance(found, str):
                answer(where=found)
            if not waiting and hasattr(tracker, "flush"):
                doing = "flush"
                tracker.flush()
            if not waiting or time.monotonic() - answered_at >= ANSWERED_EVERY:
                answer(done=handled)
                answered_at = time.monotonic()
            if last == "finish":
                break
        if last not in ("", "finish") and hasattr(tracker, "finish"):  # a run that never began cannot end
            tracker.finish(ending="killed", summary={})  # the run's process is gone without a word
        answer(finished=True)
    except BaseException as error:  # whatever somebody's tracker does, a line says it
        missing = error.name if isinstance(error, ModuleNotFoundError) and doing == "import" else None
        reason = f"{doing}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        with contextlib.suppress(OSError):
            answer(failed=reason, missing=missing)


def _outlived(number: int, frame: object) -> None:
    """A signal that is not this process's affair: a handler, unlike SIG_IGN, is not inherited by what it starts."""


def _made(name: str) -> Any:
    """The tracker: a built-in one, or module:Class."""
    module, kind = BUILT_IN[name] if name in BUILT_IN else name.split(":", 1)
    return getattr(importlib.import_module(module), kind)()


def _messages(asked: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """What the run says until its end of the pipe is closed, and whether more is there already."""
    buffer, readable = b"", select.poll()
    readable.register(asked, select.POLLIN)
    while piece := os.read(asked, PIECE):
        *lines, buffer = (buffer + piece).split(b"\n")
        for number, line in enumerate(lines, 1):
            more = number < len(lines) or bool(readable.poll(0))
            yield json.loads(line), more


def _end_with_parent(parent: int) -> None:
    """A tracker that hangs must not stay for ever when the run's process is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # threads and exit handlers of a tracker's package are not waited for: it was told to finish
