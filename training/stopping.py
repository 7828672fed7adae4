"""Stop a run by signals, also if an environment never returns from a call."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import TypeVar

STOPPED = 130  # the exit code of a run that was asked to stop
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 10.0  # seconds that one call of an environment may still take after a stop was requested


T = TypeVar("T")


class EnvironmentCalls:
    """Records whether a call of an environment is running, and since when."""

    def __init__(self) -> None:
        self.since: float | None = None  # None: no call is running

    @contextmanager
    def one(self) -> Iterator[None]:
        """Record one call of an environment, which happens inside this context."""
        self.since = time.monotonic()
        try:
            yield
        finally:
            self.since = None

    @contextmanager
    def between(self, act: Callable[[T], T]) -> Iterator[Callable[[T], T]]:
        """Wrap a policy for an evaluation: all time between two calls of the policy counts as the environment's."""

        def acting(observations: T) -> T:
            self.since = None
            actions = act(observations)
            self.since = time.monotonic()
            return actions

        with self.one():
            yield acting


@contextmanager
def stop_signals(calls: EnvironmentCalls | None = None) -> Iterator[Callable[[], bool]]:
    """Handle signals inside this context, and give a function that tells whether a stop was requested.

    The first signal requests a checkpoint and a clean stop; a second SIGINT stops at once. SIGHUP, which is sent when
    the terminal is closed, is handled too, unless it is ignored as under nohup. If an environment hangs, the run cannot
    look at the request; a thread then ends the process without a new checkpoint.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread receives signals, and it may handle them in its own way
        return
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    previous = {number: signal.signal(number, ask) for number in SIGNALS if number not in ignored}
    with _watched(calls) if calls is not None else nullcontext():
        try:
            yield lambda: asked
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextmanager
def _watched(calls: EnvironmentCalls) -> Iterator[None]:
    """Run a thread that the system tells of signals: Python handles them only after the environment has returned."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reading, calls), daemon=True, name="stopping")
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writing.close()
        thread.join(1.0)
        reading.close()


def _watch(told: socket.socket, calls: EnvironmentCalls) -> None:
    while number := told.recv(1):
        if number[0] in SIGNALS:
            break
    else:
        return  # the other end was closed: the context has ended
    asked = time.monotonic()
    told.settimeout(0.2)
    while True:
        since = calls.since
        if since is not None and time.monotonic() - max(since, asked) > PATIENCE:
            line = f"the environment has not returned for {PATIENCE:.0f} s: ended without a new checkpoint\n"
            os.write(2, line.encode())
            os._exit(STOPPED)
        try:
            if not told.recv(64):
                return
        except TimeoutError:
            continue
