"""The batches of images of a run through its phases; each batch depends only on the seed and the update's number."""

import difflib
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .augment import AUGMENTATIONS, Mover, drawn_moves
from .draws import MOVES, ORDER, generator
from .normalised import NormalisedImages
from .phases import Phase, phase_at
from .sets import Images, ImageSet


class _Epoch(NamedTuple):
    """The random numbers of one epoch."""

    key: tuple[int, int]  # phase, epoch
    order: Tensor  # the phase's examples, shuffled, on the device
    moves: Tensor | None  # the augmentation of each example, in the same order


class PhasedImages(NormalisedImages):
    """The batches of a run, on its device.

    Every epoch goes once through the examples of its phase in random order; its last batch may be smaller. There is no
    state to save: batches can be requested in any order, because they are drawn on the host from the seed, the phase
    and the epoch alone.
    """

    def __init__(
        self,
        images: Images,
        facts: ImageSet,
        phases: Sequence[Phase],
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        augment: str = "none",
        channels_last: bool = False,
    ) -> None:
        super().__init__(images, facts, device=device, channels_last=channels_last)
        if augment not in AUGMENTATIONS:
            near = difflib.get_close_matches(augment, AUGMENTATIONS, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"augmentation {augment!a} given; allowed are {', '.join(AUGMENTATIONS)} (nearest: {near})"
            )
        if batch_size < 1:
            raise ValueError(f"batch size {batch_size} given; allowed is 1 or more")
        for number, phase in enumerate(phases, 1):
            if phase.epochs < 1 or not len(phase.examples):
                raise ValueError(f"phase {number} has {len(phase.examples):,} examples and {phase.epochs} epochs")
            if not 0 <= int(phase.examples.min()) <= int(phase.examples.max()) < len(self):
                raise ValueError(f"phase {number} has examples beyond the {len(self):,} images")
        if not phases:
            raise ValueError("no phase given; at least one is needed")
        self.phases, self.batch_size, self.seed, self.augment = tuple(phases), batch_size, seed, augment
        ends = tuple(accumulate(phase.updates(batch_size) for phase in phases))
        self.starts: tuple[int, ...] = (0, *ends[:-1])
        self.total = ends[-1]
        self._mover = Mover(*facts.shape[1:], channels_last=channels_last, device=self.device)
        self._epoch = self._drawn(0, 0)

    def phase_at(self, update: int) -> int:
        """Return the index of the phase that an update belongs to; both count from 0."""
        return phase_at(self.starts, self.total, update)

    def epoch_at(self, update: int) -> tuple[int, int]:
        """Return an update's epoch within its phase, and its number within the epoch."""
        phase = self.phase_at(update)
        return divmod(update - self.starts[phase], self.phases[phase].per_epoch(self.batch_size))

    def examples_at(self, update: int) -> Tensor:
        """Return the indices of the images that an update trains on, on the device."""
        epoch, part = self._place(update)
        return epoch.order[part]

    def batch(self, update: int) -> tuple[Tensor, Tensor]:
        """Return the images, normalised as float32, and the labels that an update trains on."""
        epoch, part = self._place(update)
        chosen = epoch.order[part]
        rows = self._rows.index_select(0, chosen)
        if epoch.moves is not None:
            rows = self._mover.moved(rows, epoch.moves[part])
        return self._normalised(rows), self._labels.index_select(0, chosen)

    def _place(self, update: int) -> tuple[_Epoch, slice]:
        """Return the random numbers of an update's epoch, and the update's part of them."""
        phase, (epoch, number) = self.phase_at(update), self.epoch_at(update)
        if self._epoch.key != (phase, epoch):
            self._epoch = self._drawn(phase, epoch)
        last = number + 1 == self.phases[phase].per_epoch(self.batch_size)
        return self._epoch, slice(number * self.batch_size, None if last else (number + 1) * self.batch_size)

    def _drawn(self, phase: int, epoch: int) -> _Epoch:
        examples = self.phases[phase].examples.cpu()
        order = examples[torch.from_numpy(generator(self.seed, ORDER, phase, epoch).permutation(len(examples)))]
        moves = None
        if self.augment == "flip-crop":
            moves = drawn_moves(len(examples), generator(self.seed, MOVES, phase, epoch)).to(self.device)
        return _Epoch((phase, epoch), order.to(self.device), moves)
