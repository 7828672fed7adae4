"""The loop of a tracker's process: it reads the run's messages, a line of JSON each, and passes them to the tracker.

The answers are lines of JSON too: `ready` when the tracker is imported, `where` with the place of the record, `done`
with the number of messages handled, `failed` with the reason, after which the process ends, and `finished`.
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
ANSWERED_EVERY = 1.0  # seconds between answers, at most, while messages are waiting
GRACE = 300.0  # seconds for a tracker to end after the run's process has ended
PIECE = 65_536  # bytes


def main(name: str, asked: int, answered: int) -> None:
    """Run the tracker `name`; `asked` and `answered` are the descriptors of two pipes to the run's process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # it is ignored under nohup
            signal.signal(number, _outlived)  # only the run reacts to it; the run then sends `finish`
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.nice(5)  # the run comes first

    def answer(**values: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the run has ended, but its messages are still handled
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
        if last not in ("", "finish") and hasattr(tracker, "finish"):  # without `begin` there is nothing to finish
            tracker.finish(ending="killed", summary={})  # the run's process ended without `finish`
        answer(finished=True)
    except BaseException as error:  # a tracker may raise anything; the run prints one line about it
        missing = error.name if isinstance(error, ModuleNotFoundError) and doing == "import" else None
        reason = f"{doing}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        with contextlib.suppress(OSError):
            answer(failed=reason, missing=missing)


def _outlived(number: int, frame: object) -> None:
    """Ignore a signal. Unlike SIG_IGN, a handler is not inherited by processes that this one starts."""


def _made(name: str) -> Any:
    """Return a new tracker: a built-in one, or module:Class."""
    module, kind = BUILT_IN[name] if name in BUILT_IN else name.split(":", 1)
    return getattr(importlib.import_module(module), kind)()


def _messages(asked: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the run's messages until the pipe is closed, each with whether more messages are waiting."""
    buffer, readable = b"", select.poll()
    readable.register(asked, select.POLLIN)
    while piece := os.read(asked, PIECE):
        *lines, buffer = (buffer + piece).split(b"\n")
        for number, line in enumerate(lines, 1):
            more = number < len(lines) or bool(readable.poll(0))
            yield json.loads(line), more


def _end_with_parent(parent: int) -> None:
    """End this process some time after the run's process has ended, even if the tracker hangs."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # do not wait for threads and exit handlers of the package: `finish` is done
