"""What a run writes as it goes: metrics as JSON lines, TensorBoard events, both cut back on resuming."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from fire import NetworkReport

from .files import Lines


class RunLog:
    """`metrics.jsonl` and `tensorboard/` of one run; x is environment steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = Lines(folder / "metrics.jsonl")
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"))

    def write(self, kind: str, position: Mapping[str, int], values: Mapping[str, Any]) -> None:
        """One line with the run's position; its numbers become TensorBoard scalars `kind/name`.

        Names with a network before a slash, as measures have, make a group for each network.
        """
        self._lines.append({"kind": kind, **position, **values})
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                tag = f"{kind} {name}" if "/" in name else f"{kind}/{name}"
                self._tensorboard.add_scalar(tag, value, position["environment_steps"])

    def network_report(self, report: NetworkReport, environment_steps: int) -> None:
        """What an event did to one network, matrix by matrix, for TensorBoard."""
        for matrix in report.matrices:
            name = f"event {report.name}/{matrix.name}"
            for figure in ("squared_frobenius_error", "deviation_before", "deviation_after", "null_directions"):
                self._tensorboard.add_scalar(f"{name}/{figure}", getattr(matrix, figure), environment_steps)
        for key, value in report.figures.items():
            self._tensorboard.add_scalar(f"event {report.name}/{key}", value, environment_steps)
        for name, values in report.singular_values.items():
            for when, singular_values in zip(("before", "after"), values, strict=True):
                if singular_values.isfinite().all():  # a diverged network has none to draw
                    tag = f"singular values {report.name}/{name}/{when}"
                    self._tensorboard.add_histogram(tag, singular_values, environment_steps)

    def sizes(self) -> dict[str, int]:
        """Length of each file now, all flushed: what a checkpoint remembers."""
        self._lines.sync()
        self._tensorboard.flush()
        files = [self.folder / "metrics.jsonl", *(self.folder / "tensorboard").glob("events.*")]
        return {str(path.relative_to(self.folder)): path.stat().st_size for path in sorted(files)}

    def close(self) -> None:
        self._lines.close()
        self._tensorboard.close()


def cut_back(folder: Path, sizes: Mapping[str, int]) -> None:
    """Undo everything logged after a checkpoint that remembered `sizes`."""
    for path in [folder / "metrics.jsonl", *(folder / "tensorboard").glob("events.*")]:
        size = sizes.get(str(path.relative_to(folder)), 0)
        if not path.exists():
            continue
        if size:
            os.truncate(path, min(size, path.stat().st_size))
        else:
            path.unlink()
