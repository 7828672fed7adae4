"""The run's end of a tracker's process: it never waits for the tracker, and does without it as soon as it fails.

What a run says is put into a buffer and written to a pipe as far as the pipe takes it. A tracker that raises, ends,
hangs or cannot keep up is left out from then on. Nothing of it touches the run: neither memory, nor Python's lock, nor
random streams, nor the end of the process.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .names import missing

IMPORT_LIMIT = 180.0  # seconds in which a tracker has to be imported, before the run begins
PATIENCE = 300.0  # seconds after which a tracker that has handled nothing of what waits counts as hanging
FINISH_LIMIT = 30.0  # seconds in which it has to finish, when the run is over
ENDED_LIMIT, KILLED_LIMIT = 1.0, 2.0  # seconds in which one that has closed its pipe, or was killed, has to be gone
MOST_WAITING = 8_000_000  # bytes that wait for it
PIECE = 65_536  # bytes
FOLDER = Path(__file__).parent  # where the package that the process runs is


class TrackerProcess:
    """One tracker of one run."""

    def __init__(self, name: str) -> None:
        """Begin to import it; `require_ready` waits for that."""
        self.name = name
        self.where: str | None = None  # it is to be seen
        self.lost: str | None = None  # why it was left out
        self._ready = self._finished = False
        self._missing: str | None = None
        self._waiting, self._answers = bytearray(), bytearray()
        self._sent = self._done = 0  # messages
        self._since = time.monotonic()  # the last one that it has handled, or that found nothing waiting
        asked, self._asking = os.pipe()
        self._answering, answered = os.pipe()
        # FOLDER comes last: modules of the user's own may be called as those beside the package are.
        path = os.pathsep.join([*(entry or str(Path.cwd()) for entry in sys.path), str(FOLDER)])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fire_rl_trackers", name, str(asked), str(answered)],
                stdin=subprocess.DEVNULL,
                stdout=_stream(sys.stderr),
                env=os.environ | {"PYTHONPATH": path},
                pass_fds=(asked, answered),
                start_new_session=True,  # Ctrl-C is the run's
            )
        finally:
            os.close(asked)
            os.close(answered)
        os.set_blocking(self._asking, False)
        os.set_blocking(self._answering, False)

    def require_ready(self) -> None:
        """Wait until it is imported; ValueError, in one line, where it cannot be."""
        deadline = time.monotonic() + IMPORT_LIMIT
        while not self._ready and self.lost is None:
            if (left := deadline - time.monotonic()) <= 0:
                self._leave_out(f"its import has not ended after {IMPORT_LIMIT:.0f} s")
                break
            wait_for([self], left)
            self._hear()
        if self.lost is not None:
            self.close()
            if self._missing is not None:
                raise missing(self.name, self._missing)
            raise ValueError(f"--track {self.name} cannot be used: {self.lost.removeprefix('import: ')}")

    def tell(self, verb: str, **values: Any) -> None:
        """Say something to it, without waiting."""
        if self.lost is not None or self._finished:
            return
        if self._done == self._sent:
            self._since = time.monotonic()
        self._waiting += (json.dumps({"verb": verb, **values}) + "\n").encode()
        self._sent += 1
        self.attend()
        if self.lost is None and len(self._waiting) > MOST_WAITING:
            self._leave_out(f"it does not keep up: {MOST_WAITING / 1e6:.0f} MB were waiting for it")

    def attend(self) -> None:
        """Write as much as goes, and hear what it has said meanwhile."""
        if self.lost is not None or self._finished:
            return
        self._pour()
        self._hear()
        if self.lost is None and self._done < self._sent and time.monotonic() - self._since > PATIENCE:
            self._leave_out(f"it has handled nothing for {PATIENCE:.0f} s")

    def exchange(self) -> bool:
        """Write and hear as much as goes; whether it is still to be waited for, having been told to finish."""
        if self.lost is None and not self._finished:
            self._pour()
            self._hear()
        return self.lost is None and not self._finished

    def give_up(self) -> None:
        """It has had its time to finish."""
        self._leave_out(f"it had not finished {FINISH_LIMIT:g} s after the run")

    def close(self) -> None:
        """Leave nothing of it behind."""
        for descriptor in (self._asking, self._answering):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._asking = self._answering = -1
        if self._finished:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # of one that the system cannot end, as of a dead disk
            self._process.wait(KILLED_LIMIT)

    def _pour(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._asking, self._waiting[:PIECE])]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # its answers tell why
            self._waiting.clear()

    def _hear(self) -> None:
        """What it has answered."""
        ended = False
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._answering, PIECE):
                self._answers += piece
            ended = True
        *lines, self._answers = self._answers.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if ended and not self._finished and self.lost is None:
            try:
                self._leave_out(f"its process {_end_in_words(self._process.wait(ENDED_LIMIT))}")
            except subprocess.TimeoutExpired:
                self._leave_out("it closed its pipe")

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._ready = self._ready or "ready" in answer
        self._finished = self._finished or "finished" in answer
        if "where" in answer:
            self.where = answer["where"]
        if "done" in answer:
            self._done, self._since = answer["done"], time.monotonic()
        if "failed" in answer:
            self._missing = answer["missing"]
            self._leave_out(answer["failed"])

    def _leave_out(self, reason: str) -> None:
        self.lost = reason
        self._waiting.clear()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def wait_for(trackers: Sequence[TrackerProcess], seconds: float) -> None:
    """Until one of them answers, or takes what waits for it, and no longer than so many seconds."""
    with selectors.DefaultSelector() as selector:
        for tracker in trackers:
            selector.register(tracker._answering, selectors.EVENT_READ)
            if tracker._waiting:
                selector.register(tracker._asking, selectors.EVENT_WRITE)
        selector.select(seconds)


def _stream(stream: Any) -> Any:
    """The stream's file; nowhere, where it has none of its own, as in a notebook."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return subprocess.DEVNULL


def _end_in_words(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself, with exit code {code}"
