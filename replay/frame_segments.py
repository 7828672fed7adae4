"""What a segment of a FrameReplay holds: some steps of N environments, and all that their observations need."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .segments import Pieces, Segment, read_segment, write_segment

TERMINATED, TRUNCATED, CUT = 1, 2, 4  # bits of an ending; CUT beside TRUNCATED where `cut` ended the episode


@dataclass(frozen=True)
class FrameSegment:
    """Steps from `start` on. Actions, rewards, endings and ages have the shape (steps, N).

    `frames`, in pieces along their first axis, begin up to stack - 1 steps earlier and end a step later, with what the
    last step led to.
    """

    start: int
    stack: int
    frames: Sequence[Tensor]
    actions: Tensor
    rewards: Tensor
    endings: Tensor
    ages: Tensor
    cut: Tensor  # environments whose episodes were cut right before `start`, which the segment before may not hold
    final_frames: Tensor  # of the episodes that ended here, in order

    @property
    def num_envs(self) -> int:
        return self.frames[0].shape[1]

    @property
    def stop(self) -> int:
        return self.start + len(self.actions)

    @property
    def context(self) -> int:
        """How many steps earlier the frames begin."""
        return sum(map(len, self.frames)) - 1 - len(self.actions)

    @property
    def kind(self) -> str:
        frames = self.frames[0]
        return kind(self.num_envs, tuple(frames.shape[2:]), frames.dtype, self.stack)

    def write(self, folder: Path) -> Segment:
        tensors: dict[str, Pieces] = {
            "frames": self.frames,
            "actions": self.actions.to(torch.int32),
            "rewards": self.rewards,
            "endings": self.endings.to(torch.uint8),
            "ages": self.ages.to(torch.uint8),
            "cut": self.cut.to(torch.uint8),
            "final_frames": self.final_frames,
            "stack": torch.tensor([self.stack], dtype=torch.int32),
        }
        return write_segment(folder, self.start * self.num_envs, tensors, self.actions.numel())


def kind(num_envs: int, frame_shape: tuple[int, ...], dtype: torch.dtype, stack: int) -> str:
    """What must agree for a replay to take a segment, in words."""
    return f"{num_envs} environments' frames of {frame_shape} and {str(dtype).removeprefix('torch.')}, {stack} stacked"


def read_frame_segment(folder: Path, segment: Segment) -> FrameSegment:
    """Read a segment back, refusing one that is damaged or of another kind of replay."""
    return frame_segment(segment, read_segment(folder, segment))


def frame_segment(segment: Segment, tensors: dict[str, Tensor]) -> FrameSegment:
    """A segment from its file's tensors."""
    if "frames" not in tensors:
        raise ValueError(f"{segment.file} holds {', '.join(tensors)} and no frames")
    frames, cut, stack = tensors.pop("frames"), tensors.pop("cut").bool(), int(tensors.pop("stack"))
    return FrameSegment(segment.start // frames.shape[1], stack, [frames], cut=cut, **tensors)
