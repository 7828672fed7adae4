"""The true last frames of ended episodes, which no later observation shows."""

from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor

ROOM = 64  # frames at first; a power of two, and so is every later room


class FinalFrames:
    """A ring of frames, numbered as they come, that doubles where frames still needed would be overwritten.

    Frame `number` lies at number % room, so that doubling changes no number; numbers are kept modulo 2^31, which every
    room divides.
    """

    def __init__(self, frame_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> None:
        self.frames = torch.zeros(ROOM, *frame_shape, dtype=dtype, device=device)
        self.first = self.stop = 0  # numbers [first, stop) are still needed
        self.counts: deque[tuple[int, int]] = deque()  # which step they belong to, and how many

    def append(self, counts: Iterable[tuple[int, int]], frames: Tensor) -> Tensor:
        """Keep last frames, so many of episodes that ended at each of some steps; gives back their numbers."""
        numbers = torch.arange(self.stop, self.stop + len(frames), device=self.frames.device)
        while self.stop + len(frames) - self.first > len(self.frames):
            self._double()
        self.frames[numbers % len(self.frames)] = frames.to(self.frames.device, non_blocking=True)
        self.stop += len(frames)
        self.counts.extend(counts)
        return (numbers % 2**31).to(torch.int32)

    def forget(self, oldest: int) -> None:
        """Let go of what belongs to steps before `oldest`."""
        while self.counts and self.counts[0][0] < oldest:
            self.first += self.counts.popleft()[1]

    def _double(self) -> None:
        numbers = torch.arange(self.first, self.stop, device=self.frames.device)
        larger = self.frames.new_zeros(2 * len(self.frames), *self.frames.shape[1:])
        larger[numbers % len(larger)] = self.frames[numbers % len(self.frames)]
        self.frames = larger

    def take(self, numbers: Tensor) -> Tensor:
        """The frames of these numbers; those of numbers never given out mean nothing."""
        return self.frames.index_select(0, numbers % len(self.frames))
