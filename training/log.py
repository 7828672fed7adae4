"""The log of a run: metrics as lines of JSON, TensorBoard events and trackers; the first two can be cut back."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fire_rl.fire import Event, NetworkReport

from .durable import write_durably
from .files import METRICS, Lines
from .folder import log_files
from .history import History
from .lines import Reader
from .tracking.board import TensorBoard
from .tracking.tracking import Tracking


class RunLog:
    """`metrics.jsonl`, the TensorBoard events and the trackers of one run; `history` holds the points for pictures."""

    def __init__(self, folder: Path, reader: Reader, tracking: Tracking | None = None) -> None:
        self.folder, self.reader, self._tracking = folder, reader, tracking or Tracking()
        self.history = History.read(folder, reader)
        self._lines = Lines(folder / METRICS)
        self._tensorboard = TensorBoard(folder)

    def write(self, kind: str, position: Mapping[str, int], values: Mapping[str, Any]) -> None:
        """Write one line with the run's position; its numbers become TensorBoard scalars `kind/name`.

        Names with a network before a slash, as measures have, become a group for each network.
        """
        numbers = {
            f"{kind} {name}" if "/" in name else f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        step = position[self.reader.progress]
        self._tensorboard.scalars(numbers, step, self.history.count)
        self.history.add(self.reader.typed(self._lines.append({"kind": kind, **position, **values})))
        self._tracking.scalars({**position, **numbers}, step, self.history.count)

    def network_report(self, report: NetworkReport, step: int) -> None:
        """Send an event's effect on each matrix of a network to TensorBoard and the trackers."""
        figures = ("squared_frobenius_error", "deviation_before", "deviation_after", "null_directions")
        pairs = [(matrix, figure) for matrix in report.matrices for figure in figures]
        numbers = {f"event {report.name}/{matrix.name}/{each}": getattr(matrix, each) for matrix, each in pairs}
        numbers |= {f"event {report.name}/{key}": value for key, value in report.outcome.items()}
        self._tensorboard.scalars(numbers, step, self.history.count)
        self._tracking.scalars(numbers, step, self.history.count)
        for name, values in report.singular_values.items():
            for when, singular_values in zip(("before", "after"), values, strict=True):
                if singular_values.isfinite().all():  # those of a diverged network are not finite
                    tag = f"singular values {report.name}/{name}/{when}"
                    self._tensorboard.histogram(tag, singular_values, step, self.history.count)
                    self._tracking.histogram(tag, singular_values.tolist(), step, self.history.count)

    def picture(self, path: Path, step: int) -> None:
        """Send a picture that was drawn again to the trackers."""
        self._tracking.picture(path.stem, path, step, self.history.count)

    def sizes(self) -> dict[str, int]:
        """Flush the metrics to the disk and return the lengths of all files, which a checkpoint stores."""
        self._lines.sync()
        return {str(path.relative_to(self.folder)): path.stat().st_size for path in log_files(self.folder)}

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._tensorboard.close()


def in_words(event: Event, cause: str) -> str:
    """Describe in one line what an event did, in the method's own words if it provides them."""
    because = "" if cause == "schedule" else f" because {cause}"
    begin = f"{event.method}{because} in {event.seconds:.2f} s, "
    if any(network.outcome for network in event.networks):
        return begin + "; ".join(f"{network.name} {network.said()}" for network in event.networks)
    matrices = [each for network in event.networks for each in network.matrices if each.name not in network.reset]
    reset = sum(len(network.reset) for network in event.networks)
    before, after = (sum(getattr(each, f"deviation_{when}") for each in matrices) for when in ("before", "after"))
    some = f"{len(matrices)} weight {'matrix' if len(matrices) == 1 else 'matrices'}"
    others = f"; {reset} more got {'its' if reset == 1 else 'their'} initial values" if reset else ""
    return begin + f"deviation from isometry {before:.4g} -> {after:.4g} (sum over {some}{others})"


def cut_back(folder: Path, sizes: Mapping[str, int]) -> list[str]:
    """Remove everything logged after the checkpoint that stored `sizes`; return notes on what is missing before it."""
    notes = []
    for name, size in sizes.items():
        path = folder / name
        there = path.stat().st_size if path.exists() else 0
        if there < size:
            what = f"has {there:,} of the {size:,} bytes that it had at the checkpoint" if there else "is missing"
            notes.append(f"{path} {what}: the run continues, but its curves lack what was lost")
    for path in log_files(folder):
        name = str(path.relative_to(folder))
        if not path.exists():
            continue
        if size := sizes.get(name, 0):
            _cut(path, size)
        else:
            path.unlink()
    return notes


def _cut(path: Path, size: int) -> None:
    """Cut a file to `size` bytes; if a copy of the run shares the file by a hard link, the copy is not changed."""
    if path.stat().st_nlink > 1:
        write_durably(path, path.read_bytes()[:size])
        return
    size = min(size, path.stat().st_size)
    if path.name == METRICS:
        size = _whole_lines(path, size)
    os.truncate(path, size)


def _whole_lines(path: Path, size: int) -> int:
    """Return where the last complete line within the first `size` bytes ends."""
    with path.open("rb") as file:
        while size:
            begin = max(0, size - 65_536)
            file.seek(begin)
            if (end := file.read(size - begin).rfind(b"\n")) >= 0:
                return begin + end + 1
            size = begin
    return 0
