"""The time that a branch took without its trunk."""

import math
from collections.abc import Sequence
from pathlib import Path

from fire_rl.training.files import METRICS
from fire_rl.training.lines import Reader, TrainLine, lines_of

NOTHING = TrainLine("train", 0)  # stands for the last line of a run that has not begun


def own_part(training: Sequence[TrainLine], branch_step: int, trunk: Path | None, reader: Reader) -> tuple[float, int]:
    """Return the seconds and updates of a branch from its branch step on; NaN and 0 if the trunk's are not known.

    A branch contains its trunk's lines up to the checkpoint from which it began. The line at the end of the trunk is
    written after that checkpoint, so it is only in the trunk's own file.
    """
    before = [line for line in training if line.steps <= branch_step]
    if len(before) == len(training):
        return 0.0, 0
    start: TrainLine | None = before[-1] if before else None
    if branch_step == 0:
        start = NOTHING
    elif start is None or start.steps < branch_step:
        start = _last_line(trunk, branch_step, reader) if trunk else None
    end = training[-1]
    if start is None or start.seconds > end.seconds:
        return math.nan, 0
    return end.seconds - start.seconds, end.updates - start.updates


def _last_line(trunk: Path, step: int, reader: Reader) -> TrainLine | None:
    """Return the trunk's last line of training up to this step; None if it cannot be read."""
    found = None
    try:
        for _, value in lines_of(trunk / METRICS):
            line = reader.typed(value) if value is not None and value.get("kind") == "train" else None
            if isinstance(line, TrainLine) and line.steps <= step:
                found = line
    except (OSError, ValueError):  # missing, or not a file of metrics
        return None
    return found
