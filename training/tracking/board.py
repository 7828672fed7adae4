"""TensorBoard: a run's event files, which are in its own folder so that TensorBoard shows its name, and its HParams."""

import io
import os
import socket
import time
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate, count, repeat, takewhile
from operator import mul
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import histogram, hparams

from ..durable import naming, write_durably
from ..folder import EVENTS, HPARAMS, OLD_EVENTS
from .fire_rl_trackers import Tracker

VERSION = "brain.Event:2"  # of the format, with which each file begins
_FILES = count()  # files of this process, whose names must differ


class TensorBoard(Tracker):
    """Writes a run's TensorBoard events. On resuming, they are cut back to the checkpoint, as metrics are.

    Each call writes to the file at once, without a thread, so that an error such as a full disk is raised by the call.
    """

    def __init__(self, run: Path) -> None:
        folder = events_folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = (
            folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_FILES)}"
        )
        self._file = self.path.open("xb", buffering=0)
        self._begun = False

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Write numbers as TensorBoard's events."""
        if values:
            self._append(
                Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]), step
            )

    def histogram(self, name: str, values: Any, step: int, line: int) -> None:
        """Write a histogram."""
        self._append(histogram(name, torch.as_tensor(values), bins_of_histograms()), step)

    def close(self) -> None:
        """Close the file of events."""
        self._file.close()

    def _append(self, summary: Summary, step: int) -> None:
        events = [] if self._begun else [{"file_version": VERSION}]
        with naming(self.path):
            content = memoryview(records([*events, {"summary": summary, "step": step}]))
            self._begun = True
            while content:  # the system may take only a part at once
                content = content[self._file.write(content) :]


@cache
def bins_of_histograms() -> list[float]:
    """Return the bounds of the bins into which TensorBoard sorts values, the same as torch's."""
    above = list(takewhile(lambda bound: bound < 1e20, accumulate(repeat(1.1), mul, initial=1e-12)))
    return [*(-bound for bound in reversed(above)), 0, *above]


def records(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Return events in the format of TensorBoard's files, with the present time."""
    content = io.BytesIO()
    writer, now = RecordWriter(content), time.time()
    for event in events:
        writer.write(Event(wall_time=now, **event).SerializeToString())
    return content.getvalue()


def events_folder(run: Path) -> Path:
    """Return the run's own folder; for a run of an older version, or a branch of one, its folder tensorboard."""
    old = run / OLD_EVENTS
    return old if any(old.glob(EVENTS)) else run


def write_hparams(run: Path, config: Mapping[str, Any], tag: str) -> None:
    """Write what TensorBoard's page HPARAMS needs to compare runs: settings by name, and the tag of the metric.

    They get their own file, whose name comes before those of the events: a branch also has the events of its trunk, and
    TensorBoard uses the first settings that it finds in a folder.
    """
    if events_folder(run) != run:
        return
    values = {name: value for name, value in config.items() if isinstance(value, bool | int | float | str)}
    experiment, start, _ = hparams(values, {tag: 0.0})
    write_durably(run / HPARAMS, records([{"file_version": VERSION}, {"summary": experiment}, {"summary": start}]))
