"""The last frames of ended episodes, which appear in no later observation."""

from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor

from .ring import write_around

ROOM = 64  # the capacity at the start, in frames; a power of two, as every later capacity is


class FinalFrames:
    """A ring buffer of frames, numbered in order of arrival, that doubles before a needed frame would be overwritten.

    Frame `number` lies at index number % capacity, so that doubling changes no number. Numbers are stored modulo 2^31,
    which every capacity divides.
    """

    def __init__(self, frame_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> None:
        self.frames = torch.zeros(ROOM, *frame_shape, dtype=dtype, device=device)
        self.first = self.stop = 0  # numbers [first, stop) are still needed
        self.counts: deque[tuple[int, int]] = deque()  # (step, number of final frames that belong to it)

    def append(self, counts: Iterable[tuple[int, int]], frames: Tensor) -> Tensor:
        """Store final frames and return their numbers, on the host; `counts` says how many belong to which step, in
        order."""
        numbers = torch.arange(self.stop, self.stop + len(frames))
        while self.stop + len(frames) - self.first > len(self.frames):
            self._double()
        write_around(self.frames, len(self.frames), self.stop, frames)
        self.stop += len(frames)
        self.counts.extend(counts)
        return (numbers % 2**31).to(torch.int32)

    def forget(self, oldest: int) -> None:
        """Release the frames that belong to steps before `oldest`."""
        while self.counts and self.counts[0][0] < oldest:
            self.first += self.counts.popleft()[1]

    def _double(self) -> None:
        numbers = torch.arange(self.first, self.stop, device=self.frames.device)
        larger = self.frames.new_zeros(2 * len(self.frames), *self.frames.shape[1:])
        larger[numbers % len(larger)] = self.frames[numbers % len(self.frames)]
        self.frames = larger

    def take(self, numbers: Tensor) -> Tensor:
        """Return the frames with these numbers. A number that `append` never returned gives an arbitrary frame."""
        return self.frames.index_select(0, numbers % len(self.frames))
