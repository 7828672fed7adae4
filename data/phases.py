"""The phases of a run: the examples that are trained on, and for how many epochs.

Sources of the three kinds of phases: Ash and Adams, "On Warm-Starting Neural Network Training", 2020 (warm start); Shin
et al., "DASH", 2024 (growing data); van de Ven and Tolias, "Three scenarios for continual learning", 2019
(class-incremental).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .draws import SPLIT, generator
from .labels import held_out, subset, with_noise

__all__ = ["Phase", "class_incremental", "continual", "held_out", "phase_at", "subset", "warm_start", "with_noise"]

MOST_NAMED = 5  # classes that a message names


@dataclass(frozen=True, eq=False)
class Phase:
    """A part of a run that trains on some of the examples, given as indices of training images."""

    examples: Tensor  # int64, all examples that are trained on
    epochs: int
    classes: Tensor  # int64, the classes seen so far, in the order of their arrival
    fresh: Tensor  # int64, those of the examples that no earlier phase had

    def per_epoch(self, batch_size: int) -> int:
        """Return the number of updates in an epoch."""
        return batches_of(len(self.examples), batch_size)

    def updates(self, batch_size: int) -> int:
        """Return the number of updates in the phase."""
        return self.epochs * self.per_epoch(batch_size)


def batches_of(examples: int, batch_size: int) -> int:
    """Return the number of batches in an epoch.

    The last batch may be smaller. A single last example is added to the batch before, because BatchNorm cannot
    normalise one example.
    """
    return max(1, -(-examples // batch_size) - (examples % batch_size == 1))


def phase_at(starts: Sequence[int], total: int, update: int) -> int:
    """Return the index of the phase that an update belongs to; phases start at the updates `starts`, all from 0."""
    if not 0 <= update < total:
        raise ValueError(f"update {update} given; allowed are 0 to {total - 1}")
    return bisect_right(starts, update) - 1


def warm_start(
    labels: Tensor, classes: int, *, share: float, first_epochs: int, epochs: int, seed: int
) -> tuple[Phase, ...]:
    """Return two phases: the first on a random share of the examples, the second on all of them."""
    if not 0 < share <= 1:
        raise ValueError(f"a first share of {share:g} given; allowed is one above 0, up to 1")
    if (first := round(share * len(labels))) < 1:
        raise ValueError(f"a first share of {share:g} of {len(labels):,} examples is no example: give a larger share")
    order = generator(seed, SPLIT).permutation(len(labels))
    return _growing(order, (first, len(order)), (first_epochs, epochs), np.arange(classes), (classes, classes))


def continual(labels: Tensor, classes: int, *, phases: int, epochs: int, seed: int) -> tuple[Phase, ...]:
    """Return n phases of growing data: phase i has a random i/n of the examples, so that the last phase has all."""
    if not 1 <= phases <= len(labels):
        raise ValueError(f"{phases} phases of {len(labels):,} examples given; allowed are 1 to {len(labels):,}")
    order = generator(seed, SPLIT).permutation(len(labels))
    ends = [number * len(order) // phases for number in range(1, phases + 1)]
    return _growing(order, ends, [epochs] * phases, np.arange(classes), [classes] * phases)


def class_incremental(labels: Tensor, classes: int, *, phases: int, epochs: int, seed: int) -> tuple[Phase, ...]:
    """Return phases that each add the same number of new classes, in random order; all earlier examples stay."""
    if phases < 1 or classes % phases:
        allowed = ", ".join(str(number) for number in range(1, classes + 1) if classes % number == 0)
        raise ValueError(
            f"{phases} phases for {classes} classes given; allowed are numbers that divide them: {allowed}"
        )
    known: NDArray[np.int64] = labels.cpu().numpy()
    if known.size and not 0 <= known.min() <= known.max() < classes:
        raise ValueError(f"labels from {known.min()} to {known.max()} given; {classes} classes have 0 to {classes - 1}")
    draws = generator(seed, SPLIT)
    arrival = draws.permutation(classes)
    place = np.empty(classes, np.int64)  # the position of each class in the order of arrival
    place[arrival] = np.arange(classes)
    order = draws.permutation(len(known))
    order = order[np.argsort(place[known[order]] // (classes // phases), kind="stable")]
    seen = [number * classes // phases for number in range(1, phases + 1)]
    sizes = np.bincount(known, minlength=classes)
    if empty := [str(label) for label in np.flatnonzero(sizes == 0)]:
        more = f" and {len(empty) - MOST_NAMED} others" if len(empty) > MOST_NAMED else ""
        raise ValueError(
            "class-incremental phases need an example of every class; there is none of "
            f"{', '.join(empty[:MOST_NAMED])}{more}"
        )
    ends = np.cumsum(sizes[arrival])[np.array(seen) - 1].tolist()
    return _growing(order, ends, [epochs] * phases, arrival, seen)


def _growing(
    order: NDArray[np.int64],
    ends: Sequence[int],
    epochs: Sequence[int],
    arrival: NDArray[np.int64],
    seen: Sequence[int],
) -> tuple[Phase, ...]:
    """Return phases on growing parts of `order`: phase i has the examples before ends[i], and the first seen[i] classes
    in the order of arrival."""
    if wrong := [number for number in epochs if number < 1]:
        raise ValueError(f"{wrong[0]} epochs given; allowed is 1 or more")
    examples, classes = torch.from_numpy(order), torch.from_numpy(arrival)
    starts = (0, *ends[:-1])
    return tuple(
        Phase(examples[:end], length, classes[:count], examples[start:end])
        for start, end, length, count in zip(starts, ends, epochs, seen, strict=True)
    )
