"""The run's side of a tracker's process: it never waits for the tracker, and goes on without it if the tracker fails.

Messages of the run are put into a buffer and written to a pipe as far as the pipe accepts them. A tracker that raises
an error, ends, hangs or cannot keep up gets no more messages. A tracker cannot disturb the run: it does not share the
run's memory, Python lock or random generators, and the run's process can end without it.
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

IMPORT_LIMIT = 180.0  # seconds in which a tracker must be imported, before the run begins
PATIENCE = 300.0  # seconds: a tracker that handles no waiting message for so long counts as hanging
FINISH_LIMIT = 30.0  # seconds in which a tracker must finish after the end of the run
ENDED_LIMIT, KILLED_LIMIT = 1.0, 2.0  # seconds to wait for a process that has closed its pipe, or that was killed
MOST_WAITING = 8_000_000  # bytes that may wait for a tracker
PIECE = 65_536  # bytes
FOLDER = Path(__file__).parent  # the folder of the package that the process runs


class TrackerProcess:
    """One tracker of one run."""

    def __init__(self, name: str) -> None:
        """Start the process, which imports the tracker; `require_ready` waits until that is done."""
        self.name = name
        self.where: str | None = None  # where the record can be seen
        self.lost: str | None = None  # why the run goes on without this tracker
        self._ready = self._finished = False
        self._missing: str | None = None
        self._waiting, self._answers = bytearray(), bytearray()
        self._sent = self._done = 0  # messages
        self._since = time.monotonic()  # the last time that a message was handled, or sent while none was waiting
        asked, self._asking = os.pipe()
        self._answering, answered = os.pipe()
        # FOLDER comes last, because the user's own modules may have the names of files in it.
        path = os.pathsep.join([*(entry or str(Path.cwd()) for entry in sys.path), str(FOLDER)])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fire_rl_trackers", name, str(asked), str(answered)],
                stdin=subprocess.DEVNULL,
                stdout=_stream(sys.stderr),
                env=os.environ | {"PYTHONPATH": path},
                pass_fds=(asked, answered),
                start_new_session=True,  # so that Ctrl-C reaches only the run
            )
        finally:
            os.close(asked)
            os.close(answered)
        os.set_blocking(self._asking, False)
        os.set_blocking(self._answering, False)

    def require_ready(self) -> None:
        """Wait until the tracker is imported; raise ValueError, in one line, if it cannot be."""
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
        """Send a message to the tracker, without waiting."""
        if self.lost is not None or self._finished:
            return
        if self._done == self._sent:
            self._since = time.monotonic()
        self._waiting += (json.dumps({"verb": verb, **values}) + "\n").encode()
        self._sent += 1
        self.attend()
        if self.lost is None and len(self._waiting) > MOST_WAITING:
            self._leave_out(f"it cannot keep up: {MOST_WAITING / 1e6:.0f} MB of messages were waiting")

    def attend(self) -> None:
        """Write as much as the pipe accepts, and read the answers."""
        if self.exchange() and self._done < self._sent and time.monotonic() - self._since > PATIENCE:
            self._leave_out(f"it has handled nothing for {PATIENCE:.0f} s")

    def exchange(self) -> bool:
        """Write and read as much as possible; return whether the tracker still has to finish."""
        if self.lost is None and not self._finished:
            self._pour()
            self._hear()
        return self.lost is None and not self._finished

    def give_up(self) -> None:
        """Kill a tracker that did not finish in time."""
        self._leave_out(f"it had not finished {FINISH_LIMIT:g} s after the run")

    def close(self) -> None:
        """Close the pipes, and end the process if it still runs."""
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
        with contextlib.suppress(subprocess.TimeoutExpired):  # the system may be unable to end it, if a disk hangs
            self._process.wait(KILLED_LIMIT)

    def _pour(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._asking, self._waiting[:PIECE])]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # the answers say why
            self._waiting.clear()

    def _hear(self) -> None:
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
    """Wait until a tracker answers or accepts more of its messages, for `seconds` at most."""
    with selectors.DefaultSelector() as selector:
        for tracker in trackers:
            selector.register(tracker._answering, selectors.EVENT_READ)
            if tracker._waiting:
                selector.register(tracker._asking, selectors.EVENT_WRITE)
        selector.select(seconds)


def _stream(stream: Any) -> Any:
    """Return the file of a stream, or DEVNULL if the stream has none, as in a notebook."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return subprocess.DEVNULL


def _end_in_words(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself, with exit code {code}"
