"""TensorBoard: a run's event files, which are in its own folder so that TensorBoard shows its name, and its HParams."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from ..durable import naming, write_durably
from ..folder import EVENTS, HPARAMS, OLD_EVENTS
from .fire_rl_trackers import Tracker


class TensorBoard(Tracker):
    """Writes a run's TensorBoard events. On resuming, they are cut back to the checkpoint, as metrics are."""

    def __init__(self, run: Path) -> None:
        self.folder = events_folder(run)
        self._writer = SummaryWriter(str(self.folder))

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Write numbers as TensorBoard's events."""
        with naming(self.folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def histogram(self, name: str, values: Any, step: int, line: int) -> None:
        """Write a histogram."""
        with naming(self.folder):
            self._writer.add_histogram(name, torch.as_tensor(values), step)

    def flush(self) -> None:
        """Write all waiting events to the file."""
        with naming(self.folder):
            self._writer.flush()

    def close(self) -> None:
        """Close the file of events."""
        self._writer.close()


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
    content = io.BytesIO()
    writer, now = RecordWriter(content), time.time()
    for what in ({"file_version": "brain.Event:2"}, {"summary": experiment}, {"summary": start}):
        writer.write(Event(wall_time=now, **what).SerializeToString())
    write_durably(run / HPARAMS, content.getvalue())
