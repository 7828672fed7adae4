"""Choose examples by their labels, and add noise to labels. The same seed gives the same result."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .draws import HELD_OUT, NOISE, SUBSET, generator


def with_noise(labels: Tensor, classes: int, share: float, seed: int) -> Tensor:
    """Return a copy in which a random share of the labels is replaced by labels drawn uniformly from all classes.

    With ten classes, a tenth of the drawn labels is still right, so that a share of 0.3 makes 27% of all labels wrong.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"label noise {share:g} given; allowed is a share from 0 to 1")
    draws = generator(seed, NOISE)
    chosen = draws.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.clone()
    noisy[torch.from_numpy(chosen)] = torch.from_numpy(draws.integers(classes, size=len(chosen))).to(labels.dtype)
    return noisy


def held_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the examples that stay and of those that are held out, both in ascending order.

    Both parts have the classes in the same proportions.
    """
    count = round(share * len(labels)) if 0 < share < 1 else 0
    if not 0 < count < len(labels):
        raise ValueError(
            f"a held-out share of {share:g} of {len(labels):,} examples given; allowed is one between 0 and 1 that "
            "leaves an example on both sides"
        )
    return _divided(labels, count, generator(seed, HELD_OUT))


def subset(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return the indices of `count` examples in ascending order, with the classes in the same proportions."""
    if not 1 <= count <= len(labels):
        raise ValueError(f"{count:,} examples asked for; allowed are 1 to {len(labels):,}")
    return _divided(labels, count, generator(seed, SUBSET))[1]


def _divided(labels: Tensor, count: int, draws: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Choose `count` of the examples, stratified by class; return the indices of the others and of the chosen ones."""
    known: NDArray[np.int64] = labels.cpu().numpy()
    classes, sizes = np.unique(known, return_counts=True)
    shares = sizes * count  # the exact number of examples of each class, in units of 1 / len(known)
    counts = shares // len(known)
    missing = count - counts.sum()
    counts[np.argsort(-(shares % len(known)), kind="stable")[:missing]] += 1  # one more for the largest remainders
    taken = np.zeros(len(known), bool)
    for label, number in zip(classes, counts, strict=True):
        taken[draws.permutation(np.flatnonzero(known == label))[:number]] = True
    return torch.from_numpy(np.flatnonzero(~taken)), torch.from_numpy(np.flatnonzero(taken))
