"""How long a branch took itself, without its trunk."""

import math
from collections.abc import Sequence
from pathlib import Path

from fire_rl.training.files import METRICS
from fire_rl.training.lines import Reader, TrainLine, lines_of

NOTHING = TrainLine("train", 0)  # of a run that has not begun


def own_part(training: Sequence[TrainLine], branch_step: int, trunk: Path | None, reader: Reader) -> tuple[float, int]:
    """Seconds and updates of a branch from its branch step on; NaN and 0 where the trunk's are not known.

    Of its trunk's lines a branch has those before the checkpoint that it began with. The line at the end of the trunk
    is written after that, and stands in the trunk's file alone.
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
    """The trunk's last line of training up to this step."""
    found = None
    try:
        for _, value in lines_of(trunk / METRICS):
            line = reader.typed(value) if value is not None and value.get("kind") == "train" else None
            if isinstance(line, TrainLine) and line.steps <= step:
                found = line
    except (OSError, ValueError):  # what is no file of metrics
        return None
    return found
