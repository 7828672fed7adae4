"""What differs between two runs, clocks left out: nothing, for one seed and for a run that was killed and resumed."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from replay.segments import read_segment

from .checkpoint import Checkpoint, read_checkpoint, steps_of
from .files import read_lines

CLOCKS = ("seconds", "steps_per_second", "updates_per_second")


def differences(left: Path, right: Path) -> list[str]:
    """One line per difference in metrics, TensorBoard scalars, and the newest checkpoint with its replay."""
    found = [
        f"metrics line {number}: {one} and {other}"
        for number, (one, other) in enumerate(zip_longest(_metrics(left), _metrics(right)), 1)
        if one != other
    ]
    one, other = _scalars(left), _scalars(right)
    found += [f"TensorBoard {tag}" for tag in sorted(one.keys() | other.keys()) if one.get(tag) != other.get(tag)]
    if steps_of(left)[-1:] != steps_of(right)[-1:]:
        return [*found, f"newest checkpoints at steps {steps_of(left)[-1:]} and {steps_of(right)[-1:]}"]
    step = steps_of(left)[-1]
    return found + list(_in_checkpoints(left, right, read_checkpoint(left, step), read_checkpoint(right, step)))


def _metrics(run: Path) -> list[Any]:
    return [without_clocks(line) for line in read_lines(run / "metrics.jsonl")]


def without_clocks(value: Any) -> Any:
    """A JSON value without its times and rates."""
    if isinstance(value, dict):
        return {key: without_clocks(item) for key, item in value.items() if key not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def _scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.rpartition("/")[2] not in CLOCKS]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def _in_checkpoints(left: Path, right: Path, one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    for kind in ("agent", "tensors"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        for name in sorted(mine.keys() | theirs.keys()):
            if name not in mine or name not in theirs or not torch.equal(mine[name], theirs[name]):
                yield f"checkpoint: {name}"
    for name in sorted(one.values.keys() | other.values.keys()):
        # Sizes of files differ with the digits of their clocks.
        if name != "file_sizes" and without_clocks(one.values.get(name)) != without_clocks(other.values.get(name)):
            yield f"checkpoint: {name}"
    rows = [
        torch.cat([read_segment(run / "replay", segment)["rows"] for segment in checkpoint.segments])
        for run, checkpoint in ((left, one), (right, other))
        if checkpoint.segments
    ]
    if rows and not torch.equal(rows[0], rows[-1]):
        yield "replay"
