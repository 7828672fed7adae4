"""Finds the differences between two runs, apart from times and rates.

There must be none between two runs with one seed, or between a run and the same run that was killed and resumed.
"""

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from benchmarks.replay_contents import read_contents
from fire_rl.training.checkpoint import Checkpoint, read_checkpoint, steps_of
from fire_rl.training.durable import DurableStore
from fire_rl.training.files import read_json
from fire_rl.training.lines import read_lines

CLOCKS = ("seconds", "steps_per_second", "updates_per_second")


def differences(left: Path, right: Path) -> list[str]:
    """Return one line per difference in the metrics, in TensorBoard, and in the newest checkpoint with its replay."""
    found = [
        f"metrics line {number}: {one} and {other}"
        for number, (one, other) in enumerate(zip_longest(_metrics(left), _metrics(right)), 1)
        if one != other
    ]
    one, other = _tensorboard(left), _tensorboard(right)
    found += [f"TensorBoard {tag}" for tag in sorted(one.keys() | other.keys()) if one.get(tag) != other.get(tag)]
    if steps_of(left)[-1:] != steps_of(right)[-1:]:
        return [*found, f"newest checkpoints at steps {steps_of(left)[-1:]} and {steps_of(right)[-1:]}"]
    step = steps_of(left)[-1]
    return found + list(_in_checkpoints(left, right, read_checkpoint(left, step), read_checkpoint(right, step)))


def _metrics(run: Path) -> list[str]:
    # Compared as text, NaN equals NaN.
    return [json.dumps(without_clocks(line), sort_keys=True) for line in read_lines(run / "metrics.jsonl")]


def without_clocks(value: Any) -> Any:
    """Return a JSON value without its times and rates."""
    if isinstance(value, dict):
        return {key: without_clocks(item) for key, item in value.items() if key not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def _tensorboard(run: Path) -> dict[str, str]:
    """Return everything in TensorBoard as text, by tag.

    The files are read in the order of their first records, because the names of two files made within one second may
    have another order.
    """
    files = [
        EventAccumulator(str(path), size_guidance={"scalars": 0, "histograms": 0})
        for path in (*(run / "tensorboard").glob("events.*"), *run.glob("events.*"))
    ]
    for file in files:
        file.Reload()
    found: dict[str, list[Any]] = {}
    for file in sorted(files, key=lambda file: file.FirstEventTimestamp()):
        for tag in file.Tags()["scalars"]:
            if tag.rpartition("/")[2] not in CLOCKS:
                found.setdefault(tag, []).extend((event.step, event.value) for event in file.Scalars(tag))
        for tag in file.Tags()["histograms"]:
            found.setdefault(tag, []).extend((event.step, event.histogram_value) for event in file.Histograms(tag))
    return {tag: str(values) for tag, values in found.items()}


def _in_checkpoints(left: Path, right: Path, one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    for kind in ("learner", "tensors"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        for name in sorted(mine.keys() | theirs.keys()):
            if name not in mine or name not in theirs or not torch.equal(mine[name], theirs[name]):
                yield f"checkpoint: {name}"
    ours, others = (msgspec.to_builtins(checkpoint.values) for checkpoint in (one, other))
    for name in ours:
        # The sizes of files depend on the number of digits of the times in them.
        if name != "file_sizes" and without_clocks(ours[name]) != without_clocks(others[name]):
            yield f"checkpoint: {name}"
    mine, theirs = _replay(left, one), _replay(right, other)
    for name in sorted(mine.keys() | theirs.keys()):
        if name not in mine or name not in theirs or not torch.equal(mine[name], theirs[name]):
            yield f"replay: {name}"


def _replay(run: Path, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the transitions that a resumed run would have; its segments may also contain older ones."""
    if not checkpoint.segments:
        return {}
    capacity = read_json(run / "config.json")["run"]["replay_capacity"]
    first = max(0, checkpoint.values.work["replay_added"] - capacity)
    return read_contents(DurableStore(run / "replay"), checkpoint.segments, first)
